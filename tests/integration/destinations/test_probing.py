"""A probe says what a destination really takes and holds, and never more than it knows."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.presentation import StoragePresentationContexts

from listener.scu.association import Deadlines
from listener.scu.find_again import Query, find_again
from listener.scu.settings import DestinationSettings
from storage.domain.self_test import SelfTestInstance
from tests.integration.destinations.conftest import Probe, Run
from tests.peers.certificates import Authority
from tests.peers.dcmtk_servers import StartDcmqrscp, StartStorescp
from tests.peers.evidence_files import COMPREHENSIVE_3D_SR, SEGMENTATION
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MAY_QUERY = {"overread": ("OVERREAD", "127.0.0.1", 1)}


def of_forms(facts: dict[str, Any], key: str) -> dict[str, Any]:
    """One fact of each form."""
    return {one["form"]: one[key] for one in facts["forms"]}


def sent(facts: dict[str, Any]) -> dict[tuple[str, str], str | None]:
    """What goes there in daily work, by the first form of the chain and the kind of matrix."""
    return {(way["chain"][0], way["where"]): way["sent"] for way in facts["daily_work"]}


def rows(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    """The answer to one question."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.mark.parametrize("knows_label_maps", [False, True])
def test_orthanc_is_sent_a_label_map_only_where_it_takes_one(
    probe: Probe, start_orthanc: Callable[..., Orthanc], knows_label_maps: bool
) -> None:
    """With UnknownSopClassAccepted = false the label map is refused, the setting named, another form found (S16)."""
    orthanc = start_orthanc(MAY_QUERY, unknown_sop_class_accepted=knows_label_maps)

    status, facts = probe(orthanc.dicom_port, profile="ohif")

    refused = [] if knows_label_maps else ["label-map"]
    assert status == 0
    assert facts["passed"]
    assert facts["association"]["accepted"]
    assert facts["association"]["echo_seconds"] > 0
    assert facts["query"]["answer"] == "answered"
    assert {one["found"] for one in facts["images"]} == {"found"}
    assert [form for form, context in of_forms(facts, "context").items() if context != 0] == refused
    assert {form: found for form, found in of_forms(facts, "found").items() if found != "found"} == dict.fromkeys(
        refused, "not-asked"
    )
    assert sent(facts) | {
        ("binary", "aligned"): "binary",
        ("binary", "unaligned"): "label-map" if knows_label_maps else "binary-unaligned",
        ("secondary-capture", ""): "secondary-capture",
        ("comprehensive-3d", ""): "comprehensive-3d",
    } == sent(facts)
    told = [sentence for sentence in facts["advice"] if sentence.startswith("label-map: ")]
    assert [
        sentence.endswith("binary-unaligned is sent of images with Rows × Columns no multiple of 8.")
        for sentence in told
    ] == [True] * len(refused)
    advice = " ".join(facts["advice"])
    assert (LABEL_MAP in advice and "UnknownSopClassAccepted = true" in advice) is not knows_label_maps


def test_what_is_there_is_marked_and_each_instance_counted(
    probe: Probe, start_orthanc: Callable[..., Orthanc], database_url: str
) -> None:
    """Orthanc holds exactly what was told, each bears the mark, no series has two results (S15), no job is made."""
    orthanc = start_orthanc(MAY_QUERY)

    _, facts = probe(orthanc.dicom_port, profile="weasis")

    held = [dcmread(BytesIO(part10)) for _, part10 in orthanc.instances_of(facts["study_instance_uid"])]
    told = [*facts["images"], *facts["forms"]]
    assert {(str(one.SOPInstanceUID), str(one.SOPClassUID)) for one in held} == {
        (one["sop_instance_uid"], one["sop_class_uid"]) for one in told
    }
    assert {(str(one.PatientID), str(one.PatientName), str(one.StudyDescription)) for one in held} == {
        ("OVERREAD-SELFTEST", "OVERREAD^SELFTEST", "Overread self-test, not a patient")
    }
    series = [one["series_instance_uid"] for one in facts["forms"]]
    assert len(set(series)) == len(series)
    assert rows(database_url, "SELECT (SELECT count(*) FROM study), (SELECT count(*) FROM job)") == [(0, 0)]
    [(actor, outcome, study, details)] = rows(
        database_url,
        "SELECT actor, outcome, study_instance_uid, details FROM audit_event WHERE action = 'destination-probed'",
    )
    assert actor
    assert outcome == "success"
    assert study == facts["study_instance_uid"]
    assert (details["destination"], details["profile"], details["query"]) == ("pacs", "weasis", "answered")
    assert details["stored_forms"].split(", ") == list(of_forms(facts, "form"))


def test_each_result_is_alone_in_its_series_by_qido(probe: Probe, start_orthanc: Callable[..., Orthanc]) -> None:
    """A search in a real archive finds one instance in the series of every form, that of a structure too (S15)."""
    orthanc = start_orthanc(MAY_QUERY, dicomweb=True)
    ward = {"name": "ward", "based_on": "weasis", "one_object_per_structure": True}

    _, facts = probe(orthanc.dicom_port, profile="ward", profiles=[ward])

    for one in facts["forms"]:
        path = f"/dicom-web/studies/{facts['study_instance_uid']}/series/{one['series_instance_uid']}/instances"
        [found] = orthanc.json("GET", path)
        assert found["00080018"]["Value"] == [one["sop_instance_uid"]]
        assert found["00080016"]["Value"] == [one["sop_class_uid"]]


def test_the_self_test_is_called_as_results_are(probe: Probe, start_storescp: StartStorescp) -> None:
    """Series numbers and descriptions are those that results of this site have, so an administrator sees them first."""
    port, folder = start_storescp()
    variables = {"OVERREAD_RESULTS_SERIES_NUMBER_BASE": "500", "OVERREAD_RESULTS_SERIES_DESCRIPTION_PREFIX": "KI"}

    probe(port, variables=variables)

    results = [one for one in map(dcmread, folder.iterdir()) if one.Modality != "CT"]
    assert {int(one.SeriesNumber) for one in results} >= {500, 501, 502}
    assert {one.SeriesDescription[:3] for one in results} == {"KI "}


def test_each_probe_is_a_study_of_its_own(probe: Probe, start_orthanc: Callable[..., Orthanc]) -> None:
    """A second probe cannot be answered from what the first one left."""
    orthanc = start_orthanc(MAY_QUERY)

    (_, first), (_, second) = probe(orthanc.dicom_port), probe(orthanc.dicom_port)

    assert first["study_instance_uid"] != second["study_instance_uid"]
    assert not {one["sop_instance_uid"] for one in first["forms"]} & {
        one["sop_instance_uid"] for one in second["forms"]
    }


@pytest.mark.parametrize("knows_label_maps", [False, True])
def test_a_profile_of_the_site_is_tried_as_it_is_set(
    probe: Probe, start_orthanc: Callable[..., Orthanc], knows_label_maps: bool
) -> None:
    """Label map → binary, as [[profiles]] says: the first where the archive takes it, the second where not (S16)."""
    orthanc = start_orthanc(MAY_QUERY, unknown_sop_class_accepted=knows_label_maps)
    ward = {"name": "ward", "based_on": "ohif", "segmentation": ["label-map", "binary"], "further": []}

    status, facts = probe(orthanc.dicom_port, profile="ward", profiles=[ward])

    assert status == 0
    assert facts["profile"] == "ward"
    assert sent(facts) == {
        ("label-map", ""): "label-map" if knows_label_maps else "binary",
        ("comprehensive-3d", ""): "comprehensive-3d",
    }


def test_one_object_per_structure_is_tried_where_a_profile_wants_it(
    probe: Probe, start_orthanc: Callable[..., Orthanc]
) -> None:
    """The forms of a whole segmentation are not sent at all then."""
    ward = {"name": "ward", "one_object_per_structure": True}

    status, facts = probe(start_orthanc(MAY_QUERY).dicom_port, profile="ward", profiles=[ward])

    assert status == 0
    assert sent(facts)[("binary-per-segment", "aligned")] == "binary-per-segment"
    assert sent(facts)[("binary-per-segment", "unaligned")] == "binary-per-segment-unaligned"
    assert "binary" not in of_forms(facts, "form")


@pytest.mark.parametrize("report", [["document"], ["document", "basic-text"]])
def test_a_destination_that_is_not_told_of_no_result_is_said(
    probe: Probe, start_storescp: StartStorescp, report: list[str]
) -> None:
    """A "Not analysed" report is a basic-text one, so without that form there is silence there."""
    port, _ = start_storescp()

    status, facts = probe(port, profile="ward", profiles=[{"name": "ward", "report": report}])

    assert status == 0
    silent = [sentence for sentence in facts["advice"] if "no basic-text" in sentence]
    assert len(silent) == ("basic-text" not in report)


def test_an_archive_that_lets_nobody_query_passes_and_says_so(
    probe: Probe, start_orthanc: Callable[..., Orthanc]
) -> None:
    """An Orthanc that does not know us takes everything and carries out no C-FIND: not looked for is not lost."""
    status, facts = probe(start_orthanc().dicom_port)

    assert status == 0
    assert facts["query"]["answer"] == "failed"
    assert set(of_forms(facts, "found").values()) == {"not-asked"}
    assert any("DicomModalities" in sentence for sentence in facts["advice"])


def test_storescp_cannot_be_asked_and_that_is_said(probe: Probe, start_storescp: StartStorescp) -> None:
    """DCMTK's storescp holds what it acknowledged, offers no C-FIND, and refuses label maps, which it does not know."""
    port, folder = start_storescp()

    status, facts = probe(port, profile="ohif")

    assert status == 0
    assert facts["query"]["answer"] == "not-offered"
    assert set(of_forms(facts, "found").values()) == {"not-asked"}
    assert any("cannot be asked what it holds" in sentence for sentence in facts["advice"])
    stored = {one["sop_instance_uid"] for one in [*facts["images"], *facts["forms"]] if one["status"] == 0}
    assert {str(dcmread(path).SOPInstanceUID) for path in folder.iterdir()} == stored
    assert of_forms(facts, "context")["label-map"] == 3


def test_the_self_test_goes_by_tls(probe: Probe, start_storescp: StartStorescp, tmp_path: Path) -> None:
    """A storescp that speaks TLS alone takes it, and one whose certificate is of another authority is told by that."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    theirs, ours = authority.sign("pacs"), authority.sign("overread")
    port, folder = start_storescp("+tls", theirs.key, theirs.cert, "+cf", authority.file)
    keys = {"tls": True, "tls_certificate": ours.cert, "tls_key": ours.key}

    status, facts = probe(port, tls_ca=authority.file, **keys)
    refused, told = probe(port, tls_ca=stranger.file, **keys)

    assert (status, refused) == (0, 1)
    assert len(list(folder.iterdir())) > 1
    assert told["association"]["rejection"]["why"] == "certificate-of-unknown-authority"
    assert facts["query"]["answer"] == "not-offered"


def test_dcmqrscp_finds_what_it_took(probe: Probe, start_dcmqrscp: StartDcmqrscp) -> None:
    """A second archive that can be asked, by another maker: everything that it accepted is found."""
    status, facts = probe(start_dcmqrscp(), ae_title="ARCHIVE", profile="slicer")

    assert status == 0
    assert facts["query"]["answer"] == "answered"
    accepted = [form for form, context in of_forms(facts, "context").items() if context == 0]
    assert {"binary", "comprehensive-3d"} <= {*accepted}
    assert {of_forms(facts, "found")[form] for form in accepted} == {"found"}


def test_a_wrong_ae_title_is_named(probe: Probe, start_dcmqrscp: StartDcmqrscp) -> None:
    """The reject reason of PS3.8 table 9-21 and the line to correct."""
    status, facts = probe(start_dcmqrscp(), ae_title="NOBODY")

    assert status == 1
    assert not facts["passed"]
    assert facts["association"]["rejection"] == {
        "why": "called-ae-title-unknown",
        "result": 1,
        "source": 1,
        "reason": 7,
    }
    [sentence] = facts["advice"]
    assert "correct ae_title" in sentence
    assert "reason 7" in sentence


def test_an_unknown_host_is_not_told_as_a_dead_port(destinations: Run) -> None:
    """Whoever mistyped the name is not sent to look at the port."""
    done = destinations("probe", "pacs", port=104, host="no-such-host.invalid")

    assert done.returncode == 1
    assert "No machine has the name" in done.stdout
    assert "port of its" not in done.stdout


def test_a_dead_port_is_named(destinations: Run) -> None:
    """Nobody there: exit 1, a sentence, and nothing that looks like an answer."""
    done = destinations("probe", "pacs", port=free_port())

    assert done.returncode == 1
    assert "could not be reached; check that it runs and listens on the port" in done.stdout
    assert "not ready" in done.stdout
    assert "accepted" not in done.stdout


def test_a_name_that_is_not_in_the_settings_is_an_error(destinations: Run) -> None:
    """The names that there are stand in the message."""
    done = destinations("probe", "archive", port=104)

    assert done.returncode == 1
    assert "there are: pacs" in done.stderr


def test_a_thing_without_an_accepted_form_is_a_failure(probe: Probe) -> None:
    """A destination that takes segmentations and no report of any kind is not ready, whatever else it takes."""
    pacs = RecordingPacs(sop_classes=[CT, SEGMENTATION, SECONDARY_CAPTURE])
    try:
        status, facts = probe(pacs.start())
    finally:
        pacs.stop()

    assert status == 1
    assert sent(facts)[("comprehensive-3d", "")] is None
    assert sent(facts)[("binary", "aligned")] == "binary"
    unknown = [sentence.split(":")[0] for sentence in facts["advice"] if "it does not know" in sentence]
    assert unknown == ["comprehensive-3d", "comprehensive", "enhanced", "basic-text", "document"]
    assert [sentence for sentence in facts["advice"] if "Orthanc" in sentence and "for example" in sentence] != []
    assert sum("UnknownSopClassAccepted" in sentence for sentence in facts["advice"]) == 1


def test_what_would_be_tried_again_is_not_taken_for_accepted(probe: Probe) -> None:
    """A full archive answers 0xA700: daily work waits for it, so the probe fails and says what is to be done."""
    pacs = RecordingPacs()
    pacs.answer(*[0x0000] * 10, 0xA700)
    try:
        status, facts = probe(pacs.start())
    finally:
        pacs.stop()

    assert status == 1
    assert of_forms(facts, "status")["binary"] == 0xA700
    assert facts["daily_work"][0]["sent"] is None
    assert facts["daily_work"][0]["tried_again"] == "binary"
    assert any("out of resources" in sentence for sentence in facts["advice"])


@contextlib.contextmanager
def _archive(answer: Callable[[Dataset], Iterator[Dataset]]) -> Iterator[int]:
    """Acknowledges everything and keeps nothing; ``answer`` are its matches to a query."""
    entity = AE("PACS")
    entity.supported_contexts = StoragePresentationContexts
    entity.add_supported_context(FIND)

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for match in answer(event.identifier):
            yield 0xFF00, match
        yield 0x0000, None

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000), (evt.EVT_C_FIND, find)]
    )
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_an_archive_that_acknowledges_and_loses_is_found_out(probe: Probe) -> None:
    """What was acknowledged and is not there is a failure, and each form says so."""
    with _archive(lambda _: iter(())) as port:
        status, facts = probe(port, "--wait", "0")

    assert status == 1
    assert set(of_forms(facts, "found").values()) == {"not-found"}
    assert any(sentence.startswith("binary: it acknowledged the instance") for sentence in facts["advice"])


@pytest.mark.timeout(90)
def test_an_archive_whose_matches_never_end_is_left(tmp_path: Path) -> None:
    """A query that goes on after the time to look is over is cut off, and nothing is said to have been found."""
    ended = threading.Event()
    one = SelfTestInstance(None, CT, "1.2.3", "1.2", "1.2.840.10008.1.2.1", tmp_path, 1)

    def answer(_keys: Dataset) -> Iterator[Dataset]:
        while not ended.wait(0.1):
            yield Dataset()

    with _archive(answer) as port:
        destination = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=port)
        again = find_again("OVERREAD", destination, "1.1", [one], Deadlines(answer=2), 0)
        ended.set()

    assert again.query is Query.FAILED
    assert again.found == {}


def test_an_archive_that_changes_the_sop_class_is_found_out(probe: Probe) -> None:
    """A segmentation that comes back as another class is not what was sent."""

    def answer(keys: Dataset) -> Iterator[Dataset]:
        match = Dataset()
        match.SOPInstanceUID, match.SOPClassUID = keys.SOPInstanceUID, COMPREHENSIVE_3D_SR
        yield match

    with _archive(answer) as port:
        status, facts = probe(port, "--wait", "0")

    assert status == 1
    assert of_forms(facts, "found")["binary"] == "other-class"
    assert of_forms(facts, "found")["comprehensive-3d"] == "found"


def test_a_person_reads_a_table_and_what_to_do(destinations: Run, start_storescp: StartStorescp) -> None:
    """Without --json: what was accepted, what is sent in daily work, and that the study stays there."""
    port, _ = start_storescp()

    done = destinations("probe", "pacs", port=port, profile="ohif")

    assert done.returncode == 0
    assert done.stderr == ""
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "binary → label-map → binary-unaligned Rows × Columns no multiple of 8 binary-unaligned" in lines
    assert "label-map 1.2.840.10008.5.1.4.1.1.66.7 SOP Class not supported not-asked" in lines
    assert "it stays at the destination, delete it there" in done.stdout
