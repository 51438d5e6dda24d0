"""Each answer of a PACS becomes the right rows; nothing is lost, nothing is delivered without an acknowledgement."""

import threading
from pathlib import Path

import pytest

from listener.scu.association import Deadlines
from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.result import EvidenceObject, EvidenceRole
from storage.errors import DatabaseUnavailable
from tests.peers.evidence_files import COMPREHENSIVE_3D_SR, SEGMENTATION, data_set_bytes, evidence_object
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.result_desk import ResultDesk
from tests.peers.web_door import without_database

ACKNOWLEDGED = ("acknowledged", 0x0000)
DEADLINES = Deadlines(connect=10, associate=30, silence=30, answer=60, release=2, total=120)


@pytest.fixture
def segmentation() -> EvidenceObject:
    """A segmentation of several PDUs."""
    return evidence_object(EvidenceRole.SEGMENTATION, payload=50_000)


@pytest.fixture
def report() -> EvidenceObject:
    """A small report."""
    return evidence_object(EvidenceRole.REPORT)


def worker_for(desk: ResultDesk, *pacs: RecordingPacs) -> DeliveryWorker:
    """A worker that knows these PACS as destinations pacs, pacs1, …"""
    names = ["pacs", *(f"pacs{number}" for number in range(1, len(pacs)))]
    destinations = {
        name: DestinationSettings(name=name, ae_title="PACS", host="127.0.0.1", port=each.port)
        for name, each in zip(names, pacs, strict=True)
    }
    return DeliveryWorker(
        desk.queue, desk.log, destinations, StoreScu("OVERREAD", DEADLINES), desk.jobs, "delivery test"
    )


def kept(pacs: RecordingPacs, evidence: EvidenceObject) -> bool:
    """Whether the PACS holds exactly the frozen bytes under the instance's UID, and nothing else under it."""
    return pacs.contents[evidence.sop_instance_uid] == {data_set_bytes(evidence.part10)}


@pytest.mark.parametrize(
    ("status", "delivery_state", "job_state"),
    [
        (0x0000, "acknowledged", "completed"),
        (0xB000, "acknowledged", "completed"),
        (0xB007, "acknowledged", "completed"),
        (0x0111, "acknowledged", "completed"),
        (0xA700, "waiting", "scheduled"),
        (0x0110, "waiting", "scheduled"),
        (0x0124, "waiting", "scheduled"),
        (0xA900, "refused", "failed"),
        (0xC000, "refused", "failed"),
        (0x0122, "refused", "failed"),
    ],
)
def test_an_answer_becomes_its_delivery_state(
    desk: ResultDesk,
    recording_pacs: RecordingPacs,
    segmentation: EvidenceObject,
    report: EvidenceObject,
    status: int,
    delivery_state: str,
    job_state: str,
) -> None:
    """The segmentation's answer settles the segmentation; the report goes unless the segmentation is tried again."""
    desk.owe(report, segmentation)
    recording_pacs.answer(status)

    assert worker_for(desk, recording_pacs).deliver_one()

    assert desk.deliveries() == {
        segmentation.sop_instance_uid: (delivery_state, status),
        report.sop_instance_uid: ("waiting", None) if delivery_state == "waiting" else ACKNOWLEDGED,
    }
    assert desk.job()["state"] == job_state


def test_a_report_does_not_overtake_its_segmentation(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """A PACS without room for the segmentation gets the report after it, and not before."""
    desk.owe(report, segmentation)
    recording_pacs.answer(0xA700)
    worker = worker_for(desk, recording_pacs)
    worker.deliver_one()
    desk.make_due()

    worker.deliver_one()

    sent = [uid for uid, _ in recording_pacs.received]
    assert sent == [segmentation.sop_instance_uid, segmentation.sop_instance_uid, report.sop_instance_uid]
    assert desk.job()["state"] == "completed"


def test_a_report_goes_without_a_segmentation_that_finds_no_room_for_long(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """After ten attempts the report is delivered, and the segmentation alone goes on waiting."""
    desk.owe(report, segmentation)
    recording_pacs.answer(*[0xA700] * 11)
    worker = worker_for(desk, recording_pacs)
    for _ in range(10):
        worker.deliver_one()
        assert desk.deliveries()[report.sop_instance_uid] == ("waiting", None)
        desk.make_due()

    worker.deliver_one()

    assert desk.deliveries() == {
        segmentation.sop_instance_uid: ("waiting", 0xA700),
        report.sop_instance_uid: ACKNOWLEDGED,
    }


def test_only_what_is_owed_is_sent_again(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """After 0xA700 for the report, the next attempt sends the report alone and completes the delivery."""
    desk.owe(segmentation, report)
    recording_pacs.answer(0x0000, 0xA700)
    worker = worker_for(desk, recording_pacs)
    worker.deliver_one()
    desk.make_due()

    worker.deliver_one()

    sent = [uid for uid, _ in recording_pacs.received]
    assert sent == [segmentation.sop_instance_uid, report.sop_instance_uid, report.sop_instance_uid]
    assert desk.job()["state"] == "completed"
    assert kept(recording_pacs, segmentation)
    assert kept(recording_pacs, report)


def test_a_retry_waits_and_says_why(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject
) -> None:
    """After a rejected association the job is not due at once, and its reason tells what to do at the PACS."""
    desk.owe(segmentation)
    recording_pacs.reject_next(1, 1, 3)
    worker = worker_for(desk, recording_pacs)

    worker.deliver_one()

    (row,) = desk.execute("SELECT due_at > now() AS waits, reason_sentence FROM job WHERE kind = 'delivery'")
    assert row["waits"]
    assert row["reason_sentence"] == (
        "The destination does not recognise our AE title; add Overread to the peers it knows."
    )
    assert not worker.deliver_one()


@pytest.mark.parametrize("after_storing", [True, False])
def test_a_lost_answer_ends_delivered_with_one_content(
    desk: ResultDesk,
    recording_pacs: RecordingPacs,
    segmentation: EvidenceObject,
    report: EvidenceObject,
    after_storing: bool,
) -> None:
    """When the connection is cut before the answer, the re-send carries the same bytes: one content per UID."""
    desk.owe(segmentation, report)
    recording_pacs.drop_connection_next(after_storing=after_storing)
    worker = worker_for(desk, recording_pacs)
    worker.deliver_one()
    assert set(desk.deliveries().values()) == {("waiting", None)}
    desk.make_due()

    worker.deliver_one()

    assert set(desk.deliveries().values()) == {ACKNOWLEDGED}
    assert desk.job()["state"] == "completed"
    assert kept(recording_pacs, segmentation)
    assert kept(recording_pacs, report)


def test_an_abort_keeps_what_was_answered_before_it(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """The segmentation's acknowledgement survives the abort during the report."""
    desk.owe(segmentation, report)
    recording_pacs.answer(0x0000)
    recording_pacs.abort_next()

    worker_for(desk, recording_pacs).deliver_one()

    assert desk.deliveries() == {
        segmentation.sop_instance_uid: ACKNOWLEDGED,
        report.sop_instance_uid: ("waiting", None),
    }
    assert desk.job()["state"] == "scheduled"


def test_a_sop_class_that_is_not_accepted_fails_the_delivery(
    desk: ResultDesk, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """The report is delivered; the segmentation is left to an operator."""
    desk.owe(segmentation, report)
    pacs = RecordingPacs(sop_classes=[COMPREHENSIVE_3D_SR])
    pacs.start()
    try:
        worker_for(desk, pacs).deliver_one()
    finally:
        pacs.stop()

    assert desk.deliveries() == {
        segmentation.sop_instance_uid: ("refused", None),
        report.sop_instance_uid: ACKNOWLEDGED,
    }
    assert desk.job()["state"] == "failed"
    assert desk.job()["reason_code"] == "delivery-refused"
    told = "Destination pacs did not take the segmentation as binary (Segmentation Storage): The destination accepts no"
    assert desk.job()["reason_sentence"].startswith(told)


def test_a_report_of_no_result_that_is_not_accepted_is_told_as_such(desk: ResultDesk, report: EvidenceObject) -> None:
    """Whoever reads the sentence far from the delivery must see that the radiologist was told nothing."""
    desk.owe(report)
    desk.execute(  # as if it had ended so; the guard on the job lifecycle would not let it change its mind
        "SET LOCAL session_replication_role = replica; UPDATE job SET outcome = 'not-analysed', "
        "reason_code = 'gap', reason_sentence = 'A slice is missing.' WHERE kind = 'inference'"
    )
    pacs = RecordingPacs(sop_classes=[SEGMENTATION])
    pacs.start()
    try:
        worker_for(desk, pacs).deliver_one()
    finally:
        pacs.stop()

    told = 'Destination pacs did not take the "Not analysed" report as comprehensive-3d (Comprehensive 3D SR Storage): '
    assert desk.job()["reason_sentence"].startswith(told)


def test_a_destination_that_is_no_longer_configured_fails_with_the_setting_to_mend(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject
) -> None:
    """Nothing is sent anywhere, and the reason names the entry that is missing."""
    desk.owe(report, destinations=("archive",))

    worker_for(desk, recording_pacs).deliver_one()

    job = desk.job("archive")
    assert (job["state"], job["reason_code"]) == ("failed", "destination-not-configured")
    assert "[[destinations]]" in job["reason_sentence"]
    assert "archive" in job["reason_sentence"]
    assert f"`overread jobs resubmit {job['id']}`" in job["reason_sentence"]
    assert "cancel" not in job["reason_sentence"]  # which a job that has failed does not accept
    assert recording_pacs.received == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")])
def test_a_damaged_frozen_file_is_never_sent(
    desk: ResultDesk, recording_pacs: RecordingPacs, segmentation: EvidenceObject, report: EvidenceObject, damage
) -> None:
    """When one frozen file is missing or altered, the delivery fails with a reason and nothing leaves the house."""
    desk.owe(segmentation, report)
    (row,) = desk.execute("SELECT sha256 FROM evidence WHERE role = 'report'")
    damage(desk.store.evidence(row["sha256"]))

    worker_for(desk, recording_pacs).deliver_one()

    assert (desk.job()["state"], desk.job()["reason_code"]) == ("failed", "evidence-damaged")
    assert recording_pacs.received == []


def test_a_worker_that_lost_its_lease_changes_nothing(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject
) -> None:
    """When the job passes to another worker during the send, the first one stops sending and leaves the rows alone."""
    desk.owe(report)
    recording_pacs.stay_silent_next()
    working = threading.Thread(target=worker_for(desk, recording_pacs).deliver_one)
    working.start()
    recording_pacs.wait_until(lambda pacs: bool(pacs.received))
    desk.execute("UPDATE job SET lease_token = gen_random_uuid(), worker = 'thief' WHERE kind = 'delivery'")

    working.join(30)  # the renewal finds out; the PACS is still silent

    assert not working.is_alive()
    assert (desk.job()["state"], desk.job()["worker"]) == ("in_progress", "thief")
    assert desk.deliveries() == {report.sop_instance_uid: ("waiting", None)}


def test_a_worker_cut_off_from_the_database_stops_sending_before_another_may_begin(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject
) -> None:
    """Fault F38: the PACS is reached and the database is not, so nobody can say that the lease still holds."""
    desk.owe(report)
    recording_pacs.stay_silent_next()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            worker_for(desk, recording_pacs).deliver_one()
        except DatabaseUnavailable as error:
            ended.append(error)

    working = threading.Thread(target=work)
    working.start()
    recording_pacs.wait_until(lambda pacs: bool(pacs.received))
    with without_database(desk.database_url):
        working.join(30)  # the PACS is still silent

        assert not working.is_alive()
    assert len(ended) == 1
    assert desk.deliveries() == {report.sop_instance_uid: ("waiting", None)}


def test_the_lease_is_kept_while_a_slow_pacs_thinks(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject
) -> None:
    """A send that takes longer than the lease keeps it by renewing, and then settles the job."""
    desk.owe(report)
    recording_pacs.stay_silent_next()
    working = threading.Thread(target=worker_for(desk, recording_pacs).deliver_one)
    working.start()
    recording_pacs.wait_until(lambda pacs: bool(pacs.received))
    # The database itself waits until the first lease would be over; only renewals can have kept it.
    desk.execute("SELECT pg_sleep(1.5)")
    (row,) = desk.execute("SELECT lease_expires_at > now() AS held FROM job WHERE kind = 'delivery'")
    recording_pacs.let_go()
    working.join(30)

    assert row["held"]
    assert desk.job()["state"] == "completed"
