"""A destination that does not take the best form is sent another one, and the delivery is complete."""

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from storage.domain.viewer_profile import ANY, EXPLICIT_VR_LITTLE_ENDIAN, PROFILES, own_profile
from tests.peers.evidence_files import CLASS_OF_FORM, SEGMENTATION, data_set_bytes, evidence_object
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.result_desk import ResultDesk

ELE = EXPLICIT_VR_LITTLE_ENDIAN
STUDY = "1.2.826.0.1.3680043.8.498.2"
REPORT_FORMS = (
    EvidenceForm.COMPREHENSIVE_3D,
    EvidenceForm.COMPREHENSIVE,
    EvidenceForm.ENHANCED,
    EvidenceForm.BASIC_TEXT,
)


WARD = own_profile("ward", ANY, segmentation=(EvidenceForm.LABEL_MAP, EvidenceForm.BINARY), transfer_syntaxes=(ELE,))
LABELS = own_profile("labels", PROFILES["ohif"], segmentation=(EvidenceForm.LABEL_MAP,))
STRUCTURES = own_profile("structures", PROFILES["ohif"], one_object_per_structure=True)


def worker(desk: ResultDesk, port: int, **settings: object) -> DeliveryWorker:
    """A worker that knows one destination of this machine, and the profiles of the site's own."""
    pacs = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, **settings)
    store = StoreScu("OVERREAD", profiles=PROFILES | {one.name: one for one in (WARD, LABELS, STRUCTURES)})
    return DeliveryWorker(desk.queue, desk.log, {"pacs": pacs}, store, desk.jobs, "delivery test")


def report(form: EvidenceForm, payload: int = 2000) -> EvidenceObject:
    """The report in one form."""
    return evidence_object(EvidenceRole.REPORT, payload, STUDY, form)


def segmentation(form: EvidenceForm) -> EvidenceObject:
    """The segmentation in one form, or one structure of it."""
    return evidence_object(EvidenceRole.SEGMENTATION, 2000, STUDY, form)


def notes(desk: ResultDesk) -> dict[str, str]:
    """What was noted about each form."""
    rows = desk.execute("SELECT form, note FROM delivery JOIN evidence ON evidence.id = delivery.evidence_id")
    return {row["form"]: row["note"] for row in rows}


@pytest.mark.parametrize("taken", REPORT_FORMS[1:])
def test_a_peer_that_refuses_the_best_report_gets_the_next(desk: ResultDesk, taken: EvidenceForm) -> None:
    """Comprehensive 3D → Comprehensive → Enhanced → Basic Text: exactly the first accepted one arrives."""
    reports = {form: report(form) for form in REPORT_FORMS}
    desk.owe(*reports.values())
    pacs = RecordingPacs(sop_classes=[CLASS_OF_FORM[form] for form in REPORT_FORMS[REPORT_FORMS.index(taken) :]])
    try:
        worker(desk, pacs.start()).deliver_one()
    finally:
        pacs.stop()

    assert [uid for uid, _ in pacs.received] == [reports[taken].sop_instance_uid]
    assert desk.job()["state"] == "completed"
    assert {uid: state for uid, (state, _) in desk.deliveries().items()} == {
        one.sop_instance_uid: "acknowledged" if form is taken else "not-needed" for form, one in reports.items()
    }
    assert notes(desk)["comprehensive-3d"].endswith(f"The destination took the same content as {taken}.")


def test_a_peer_that_takes_no_form_fails_the_delivery(desk: ResultDesk) -> None:
    """Nothing is settled as not needed when nothing arrived."""
    desk.owe(*map(report, REPORT_FORMS))
    pacs = RecordingPacs(sop_classes=[SEGMENTATION])
    try:
        worker(desk, pacs.start()).deliver_one()
    finally:
        pacs.stop()

    assert (desk.job()["state"], desk.job()["reason_code"]) == ("failed", "delivery-refused")
    assert {state for state, _ in desk.deliveries().values()} == {"refused"}


def test_a_report_that_is_too_large_goes_in_a_smaller_form(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """max_instance_bytes passes over what is larger."""
    large, small = report(EvidenceForm.COMPREHENSIVE_3D, 50_000), report(EvidenceForm.ENHANCED)
    desk.owe(large, small)

    worker(desk, recording_pacs.port, max_instance_bytes=10_000).deliver_one()

    assert [uid for uid, _ in recording_pacs.received] == [small.sop_instance_uid]
    assert desk.job()["state"] == "completed"
    assert "max_instance_bytes" in notes(desk)["comprehensive-3d"]


def test_a_notice_that_the_profile_does_not_show_is_settled_without_a_connection(desk: ResultDesk) -> None:
    """Slicer reads no text, and a notice has no other: nothing is sent, nothing stays owed, and the note says why."""
    desk.owe_notice(report(EvidenceForm.BASIC_TEXT))

    worker(desk, 1, profile="slicer").deliver_one()

    assert desk.job()["state"] == "completed"
    assert "profile slicer" in notes(desk)["basic-text"]


def test_a_result_in_no_form_of_the_profile_fails_the_delivery(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """What is there of the profile's forms is sent; a segmentation that was not made in one is not called done."""
    labels, best = segmentation(EvidenceForm.LABEL_MAP), report(REPORT_FORMS[0])
    desk.owe(labels, best)

    worker(desk, recording_pacs.port, profile="any").deliver_one()

    job = desk.job()
    assert list(recording_pacs.contents) == [best.sop_instance_uid]
    assert (job["state"], job["reason_code"]) == ("failed", "delivery-refused")
    assert job["reason_sentence"] == (
        "Destination pacs was not sent the segmentation: "
        "The result has its segmentation in no form that the destination's profile any holds, so it was not sent; "
        "resubmit the analysis to have one made, or give the destination another profile."
    )
    assert {state for state, _ in desk.deliveries().values()} == {"acknowledged", "refused"}


def test_an_analysis_with_a_report_in_no_form_of_the_profile_fails_the_delivery(desk: ResultDesk) -> None:
    """Only a notice may be a text that the profile does without; the report of an analysis may not."""
    desk.owe(report(EvidenceForm.BASIC_TEXT))

    worker(desk, 1, profile="slicer").deliver_one()

    assert desk.job()["state"] == "failed"
    assert "The result has its report in no form" in desk.job()["reason_sentence"]


def test_what_a_profile_does_without_fails_no_delivery(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """Key objects, which the profile any has no chain for, are settled with the rest."""
    keys, best = evidence_object(EvidenceRole.REPORT, 2000, STUDY, EvidenceForm.KEY_OBJECTS), report(REPORT_FORMS[0])
    desk.owe(best, keys)

    worker(desk, recording_pacs.port, profile="any").deliver_one()

    assert desk.job()["state"] == "completed"
    assert desk.deliveries()[keys.sop_instance_uid][0] == "not-needed"


def test_a_profile_that_changes_while_the_peer_is_down_is_what_counts(
    desk: ResultDesk, recording_pacs: RecordingPacs
) -> None:
    """What one profile did not show is not settled before anything is there: the next profile may show it."""
    binary, labels = segmentation(EvidenceForm.BINARY), segmentation(EvidenceForm.LABEL_MAP)
    desk.owe(binary, labels)
    worker(desk, 1, profile="labels").deliver_one()
    desk.make_due()

    worker(desk, recording_pacs.port, profile="any").deliver_one()

    assert list(recording_pacs.contents) == [binary.sop_instance_uid]
    assert desk.job()["state"] == "completed"
    assert desk.deliveries()[labels.sop_instance_uid][0] == "not-needed"


def test_done_again_a_delivery_chooses_again(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """After a completed delivery is resubmitted, the best form that is taken now is sent."""
    best, basic = report(EvidenceForm.COMPREHENSIVE_3D), report(EvidenceForm.BASIC_TEXT)
    desk.owe(best, basic)
    recording_pacs.answer(0x0122)
    lane = worker(desk, recording_pacs.port)
    lane.deliver_one()
    desk.queue.resubmit(desk.job()["id"], "test")

    lane.deliver_one()

    assert [uid for uid, _ in recording_pacs.received] == [
        best.sop_instance_uid,
        basic.sop_instance_uid,
        best.sop_instance_uid,
    ]
    assert {state for state, _ in desk.deliveries().values()} == {"acknowledged", "not-needed"}


def test_tried_again_a_failed_delivery_sends_no_second_form(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """A segmentation that is there as binary is not sent as a label map too, when the report is tried again."""
    binary, labels, best = (
        segmentation(EvidenceForm.BINARY),
        segmentation(EvidenceForm.LABEL_MAP),
        report(REPORT_FORMS[0]),
    )
    desk.owe(binary, labels, best)
    recording_pacs.answer(0x0000, 0xA900)
    lane = worker(desk, recording_pacs.port, profile="ohif")
    lane.deliver_one()
    desk.queue.resubmit(desk.job()["id"], "test")

    lane.deliver_one()

    assert set(recording_pacs.contents) == {binary.sop_instance_uid, best.sop_instance_uid}
    assert desk.execute("SELECT state FROM job WHERE kind = 'delivery' ORDER BY id DESC LIMIT 1") == [
        {"state": "completed"}
    ]
    assert notes(desk)["label-map"] == "The destination took the same content as binary."


def test_what_is_there_in_another_form_needs_no_connection(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """Where only another form of what is there is left, it is settled without an association."""
    best, basic = report(REPORT_FORMS[0]), report(EvidenceForm.BASIC_TEXT)
    desk.owe(best, basic)
    worker(desk, recording_pacs.port).deliver_one()
    desk.execute("UPDATE delivery SET state = 'waiting' WHERE state = 'not-needed'")
    desk.execute(
        "SET LOCAL session_replication_role = replica; UPDATE job SET state = 'failed', "
        "reason_code = 'test', reason_sentence = 'It failed.' WHERE kind = 'delivery'"
    )
    desk.queue.resubmit(desk.job()["id"], "test")

    worker(desk, 1).deliver_one()

    assert {state for state, _ in desk.deliveries().values()} == {"acknowledged", "not-needed"}


def test_tried_again_a_form_that_is_there_in_part_stays_the_form(
    desk: ResultDesk, recording_pacs: RecordingPacs
) -> None:
    """One structure of two is refused for good: the delivery fails each time, and no label map goes out beside it."""
    structures = [segmentation(EvidenceForm.BINARY_PER_SEGMENT) for _ in range(2)]
    desk.owe(*structures, segmentation(EvidenceForm.LABEL_MAP))
    recording_pacs.answer(0x0000, 0xC001, 0xC001)
    lane = worker(desk, recording_pacs.port, profile="structures")
    lane.deliver_one()
    desk.queue.resubmit(desk.job()["id"], "test")

    lane.deliver_one()

    assert list(recording_pacs.contents) == [structures[0].sop_instance_uid]
    assert sorted(state for state, _ in desk.deliveries().values()) == ["acknowledged", "not-needed", "refused"]
    assert "only a part" in notes(desk)["label-map"]


@pytest.mark.parametrize("knows_label_maps", [False, True])
def test_orthanc_gets_a_label_map_only_where_it_accepts_one(
    desk: ResultDesk, start_orthanc, knows_label_maps: bool
) -> None:
    """With UnknownSopClassAccepted = false a real Orthanc refuses label maps and holds the binary one (S16, D6)."""
    orthanc: Orthanc = start_orthanc(unknown_sop_class_accepted=knows_label_maps)
    labels = evidence_object(EvidenceRole.SEGMENTATION, 9000, STUDY, EvidenceForm.LABEL_MAP)
    binary = evidence_object(EvidenceRole.SEGMENTATION, 9000, STUDY, EvidenceForm.BINARY_UNALIGNED)
    desk.owe(labels, binary)

    worker(desk, orthanc.dicom_port, profile="ohif").deliver_one()

    expected = labels if knows_label_maps else binary
    held = [(uid, data_set_bytes(part10)) for uid, part10 in orthanc.instances_of(STUDY)]
    assert held == [(expected.sop_instance_uid, data_set_bytes(expected.part10))]
    assert desk.job()["state"] == "completed"


@pytest.mark.parametrize("knows_label_maps", [False, True])
def test_a_profile_of_the_site_chooses_in_its_own_order(
    desk: ResultDesk, start_orthanc, knows_label_maps: bool
) -> None:
    """Label map before binary, as no profile of this release has it: the label map only where it is taken (S16)."""
    orthanc: Orthanc = start_orthanc(unknown_sop_class_accepted=knows_label_maps)
    labels = evidence_object(EvidenceRole.SEGMENTATION, 9000, STUDY, EvidenceForm.LABEL_MAP)
    binary = evidence_object(EvidenceRole.SEGMENTATION, 9000, STUDY)
    desk.owe(binary, labels)

    worker(desk, orthanc.dicom_port, profile="ward").deliver_one()

    held = [uid for uid, _ in orthanc.instances_of(STUDY)]
    assert held == [(labels if knows_label_maps else binary).sop_instance_uid]
    assert desk.job()["state"] == "completed"
