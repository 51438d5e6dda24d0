"""The count of an archive as evidence: of real archives, of one that is dead, and of one that leaves the number out."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from listener.scu.association import Deadlines
from listener.scu.settings import DestinationSettings
from listener.scu.study_count import CountLane, counting
from storage.domain.completeness import EvidenceKind, Patience, SourcePatience
from storage.domain.explanation import sentences
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.study_counts import PostgresStudyCounts
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.raw_sender import associated, ct_data_set, send
from tests.peers.stow_archive import Answer, StowArchive, raw, reply

_PATIENCE = Patience(SourcePatience(60, 3600, 5, frozenset({EvidenceKind.COUNT}), frozenset({"pacs"})))
_TOLD = "SELECT kind, word, sentence FROM revision_evidence WHERE decisive"


def _quiet(hospital: Any, seconds: float) -> None:
    """Time goes by since the newest instance arrived; what archives said before it did lies further back."""
    back = "interval '1 hour'"
    hospital.rows(f"UPDATE study_count SET asked_at = asked_at - {back}, counted_at = counted_at - {back}")  # noqa: S608
    hospital.rows(
        "UPDATE study SET last_received_at = now() - make_interval(secs => %s), "
        "unsettled_since = now() - make_interval(secs => %s)",
        *(seconds, seconds),
    )


def _settle(hospital: Any) -> int:
    return settle_studies(hospital.database, _PATIENCE)


def _lane(hospital: Any, port: int, ae_title: str = "ORTHANC") -> CountLane:
    place = DestinationSettings(name="pacs", ae_title=ae_title, host="127.0.0.1", port=port)
    quick = Deadlines(connect=5, associate=5, silence=5, answer=5, total=10)
    return CountLane(PostgresStudyCounts(hospital.database), "OVERREAD", place, quick)


def _answer(hospital: Any, instances: int | None, note: str = "") -> None:
    counts = PostgresStudyCounts(hospital.database)
    for question in counts.claim("pacs"):
        counts.settle(question, instances, note)


def test_a_study_waits_until_orthanc_has_no_more_than_is_here(
    hospital: Any, start_orthanc: Callable[..., Orthanc]
) -> None:
    """Two of three have come: the third is waited for beyond the quiet time, and once it is here nothing more is."""
    archive = start_orthanc({"overread": ("OVERREAD", "127.0.0.1", 104)})
    arrivals = [hospital.arrival("1.2.3") for _ in range(3)]
    with associated(archive.dicom_port, called="ORTHANC") as association:
        for arrival in arrivals:
            uid = arrival.header.sop_instance_uid
            assert send(association, ct_data_set(uid), uid) == 0x0000
    lane = _lane(hospital, archive.dicom_port)
    hospital.receive(*arrivals[:2])

    assert lane.ask_once() == 0  # nobody wants it yet
    _quiet(hospital, 6)
    assert (_settle(hospital), lane.ask_once()) == (0, 1)
    _quiet(hospital, 61)
    assert (_settle(hospital), _settle(hospital)) == (0, 0)

    hospital.receive(arrivals[2])
    _quiet(hospital, 6)
    assert (_settle(hospital), lane.ask_once(), _settle(hospital)) == (0, 1, 1)
    assert hospital.rows(_TOLD) == [("count", "whole", "pacs had 3 instances and 3 had arrived here.")]
    assert hospital.rows("SELECT count(*) FROM study_count") == [(0,)]


def test_an_archive_that_is_dead_extends_nothing(hospital: Any) -> None:
    """The study settles by its quiet time, and the evidence says why there is no count; nor does one that hangs."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert (_settle(hospital), _lane(hospital, free_port()).ask_once(), _settle(hospital)) == (0, 1, 0)

    _quiet(hospital, 61)
    assert _settle(hospital) == 1
    assert hospital.rows(_TOLD)[0][0] == "quiet"
    [told] = [one for one in sentences(hospital.overview.explain("1.2.3")) if one.startswith("Looked at beside it")]
    assert told.startswith("Looked at beside it, count: pacs did not say how many instances it has (")


def test_a_count_that_never_comes_is_not_waited_for(hospital: Any) -> None:
    """Whoever asks has died: the study settles by its quiet time all the same."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    assert len(PostgresStudyCounts(hospital.database).claim("pacs")) == 1

    _quiet(hospital, 61)
    assert _settle(hospital) == 1


def test_a_count_that_is_never_reached_is_waited_for_as_long_as_may_be(hospital: Any) -> None:
    """An archive that dies after it named a number does not take it back."""
    hospital.install()
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    _answer(hospital, 9)
    _quiet(hospital, 100)
    assert _settle(hospital) == 0
    _answer(hospital, None, "it does not answer")
    assert _settle(hospital) == 0

    _quiet(hospital, 3601)
    assert _settle(hospital) == 1
    assert hospital.rows(_TOLD)[0][0] == "longest-wait"


def test_a_count_from_before_the_newest_instance_ends_no_wait(hospital: Any) -> None:
    """It may have been as many by chance; the archive is asked again."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    _answer(hospital, 2)
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    _answer(hospital, 2)
    assert _settle(hospital) == 1
    assert hospital.rows(_TOLD)[0][0] == "count"


def test_results_of_ours_that_only_the_archive_holds_are_none_of_its_count(hospital: Any) -> None:
    """Late images of an analysed study: the archive has them, and the report and segmentation that we sent."""
    hospital.install()
    result = hospital.analysed()
    hospital.rows("UPDATE delivery SET state = 'acknowledged', acknowledged_at = now(), destination = 'pacs'")
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    _answer(hospital, 3 + len(result.evidence))
    assert _settle(hospital) == 1
    assert hospital.rows("SELECT sentence FROM revision_evidence WHERE decisive AND revision = 2") == [
        ("pacs had 3 instances and 3 had arrived here.",)
    ]


@contextmanager
def _archive(answers: list[tuple[int, Dataset | None]]) -> Iterator[int]:
    """An archive whose every C-FIND is answered so."""

    def find(_event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield from answers

    entity = AE("RUDE")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def _match(number: int | None, study: str = "1.2.3") -> Dataset:
    match = Dataset()
    match.QueryRetrieveLevel, match.StudyInstanceUID = "STUDY", study
    if number is not None:
        match.NumberOfStudyRelatedInstances = number
    return match


@pytest.mark.parametrize(
    ("answers", "instances", "note"),
    [
        pytest.param([(0xFF00, _match(7))], 7, "", id="a-number"),
        pytest.param([], 0, "", id="no-such-study"),
        pytest.param([(0xFF00, _match(7, "1.2.34"))], 0, "", id="another-study"),
        pytest.param([(0xFF00, _match(None))], None, "its answer has no Number of Study", id="no-number"),
        pytest.param([(0xFF00, _match(7)), (0xA700, None)], None, "it refused the query (0xA700)", id="refused"),
    ],
)
def test_what_an_archive_answers_is_read_with_care(
    hospital: Any, answers: list[tuple[int, Dataset | None]], instances: int | None, note: str
) -> None:
    """The number is optional, a match may be of another study, and a refusal is no zero."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    with _archive(answers) as port:
        assert _lane(hospital, port, "RUDE").ask_once() == 1

    [(counted, told)] = hospital.rows("SELECT instances, note FROM study_count")
    assert counted == instances
    assert told.startswith(note)


def _web_lane(hospital: Any, url: str) -> CountLane:
    place = DestinationSettings(name="pacs", kind="stow", url=url)
    quick = Deadlines(connect=5, associate=5, silence=5, answer=5, total=10)
    return CountLane(PostgresStudyCounts(hospital.database), "OVERREAD", place, quick)


def test_orthanc_counts_over_the_web(hospital: Any, start_orthanc: Callable[..., Orthanc]) -> None:
    """It has two of the study and none of another; each is told as it is."""
    archive = start_orthanc(dicomweb=True)
    arrivals = [hospital.arrival("1.2.3") for _ in range(2)]
    with associated(archive.dicom_port, called="ORTHANC") as association:
        for arrival in arrivals:
            uid = arrival.header.sop_instance_uid
            assert send(association, ct_data_set(uid), uid) == 0x0000
    hospital.receive(*arrivals, hospital.arrival("1.2.4"))
    _quiet(hospital, 6)
    assert _settle(hospital) == 0

    assert _web_lane(hospital, f"http://127.0.0.1:{archive.http_port}/dicom-web").ask_once() == 2

    counted = "SELECT study_instance_uid, instances, note FROM study_count JOIN study ON study.id = study_id ORDER BY 1"
    assert hospital.rows(counted) == [("1.2.3", 2, ""), ("1.2.4", 0, "")]


def _found(*studies: tuple[str, object]) -> Answer:
    listed = [
        {"0020000D": {"vr": "UI", "Value": [uid]}, "00201208": {"vr": "IS", "Value": [count]}} for uid, count in studies
    ]
    return reply(200, json.dumps(listed).encode())


@pytest.mark.parametrize(
    ("answer", "instances", "note"),
    [
        pytest.param(_found(("1.2.3", 7)), 7, "", id="a-number"),
        pytest.param(_found(("1.2.3", "7")), 7, "", id="a-number-as-text"),
        pytest.param(_found(), 0, "", id="no-such-study"),
        pytest.param(reply(204), 0, "", id="no-content"),
        pytest.param(_found(("1.2.34", 7)), None, "its answer has no Number of Study", id="another-study"),
        pytest.param(_found(("1.2.3", None)), None, "its answer has no Number of Study", id="no-number"),
        pytest.param(_found(("1.2.3", -1)), None, "its answer has no Number of Study", id="below-zero"),
        pytest.param(reply(403), None, "the destination does not let us search (403)", id="refused"),
        pytest.param(reply(404), None, "the destination has no QIDO-RS at its url", id="nothing-there"),
        pytest.param(
            reply(200, b"<html>"), None, "the destination answered the search with what is no DICOM", id="html"
        ),
        pytest.param(raw(), None, "the connection ended before", id="cut"),
    ],
)
def test_what_an_archive_answers_over_the_web_is_read_with_care(
    hospital: Any, stow_archive: StowArchive, answer: Answer, instances: int | None, note: str
) -> None:
    """A refusal and a page that is none of QIDO-RS are no zero; a study that is not there is one."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    stow_archive.answers.append(answer)

    assert _web_lane(hospital, stow_archive.url).ask_once() == 1

    assert stow_archive.requests[0].line == (
        "GET /dicom-web/studies?StudyInstanceUID=1.2.3&includefield=00201208 HTTP/1.1"
    )
    [(counted, told)] = hospital.rows("SELECT instances, note FROM study_count")
    assert counted == instances
    assert told.startswith(note)
    assert bool(told) == (instances is None)


def test_an_answer_that_cannot_be_read_is_not_taken_for_the_next_study_s(hospital: Any) -> None:
    """What is still to come of it goes with its association; the next study is asked about again later."""
    for study in ("1.2.3", "1.2.4"):
        hospital.receive(hospital.arrival(study))
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    unreadable = [_match(None, study) for study in ("1.2.3", "1.2.4")]
    for match in unreadable:
        match.add_new(0x00201208, "LO", "many")
    with _archive([(0xFF00, match) for match in unreadable]) as port:
        assert _lane(hospital, port, "RUDE").ask_once() == 2

    assert hospital.rows("SELECT DISTINCT instances, asked_at IS NOT NULL FROM study_count") == [(None, True)]


def test_only_the_archives_that_are_named_have_a_lane(hospital: Any) -> None:
    """In its block a thread asks; a destination that no source counts at is asked nothing."""
    hospital.receive(hospital.arrival())
    _quiet(hospital, 6)
    assert _settle(hospital) == 0
    with _archive([(0xFF00, _match(1))]) as port:
        places = [
            DestinationSettings(name=name, ae_title="RUDE", host="127.0.0.1", port=port) for name in ("pacs", "b")
        ]
        counts = PostgresStudyCounts(hospital.database)
        with counting(counts, "OVERREAD", places, {"b"}):
            pass
        assert hospital.rows("SELECT asked_at FROM study_count") == [(None,)]
        with counting(counts, "OVERREAD", places, {"pacs"}):
            while hospital.rows("SELECT instances FROM study_count") != [(1,)]:
                pass
