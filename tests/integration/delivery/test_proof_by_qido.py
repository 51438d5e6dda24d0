"""Proof by query over the web: of Orthanc, and of archives that say nothing, something else or too much."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.instance_query import Found
from listener.scu.proof.prover import Prover
from listener.scu.proof.read_back import WORDS
from listener.scu.proof.ways import inquiries
from listener.scu.settings import DestinationSettings
from listener.scu.web.stow import StowSender
from storage.domain.proof import ProofObject, ProofRequest, ProofWay, Word
from storage.domain.result import EvidenceObject, EvidenceRole
from storage.postgres.proof_rows import PostgresProofs
from tests.peers.evidence_files import evidence_object
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.result_desk import ResultDesk
from tests.peers.stow_archive import Answer, StowArchive, raw, reply

STUDY = "1.2.826.0.1.3680043.8.498.6"
_STATES = """
SELECT evidence.sop_instance_uid AS uid, delivery_proof.state
FROM delivery_proof JOIN delivery ON delivery.id = delivery_id JOIN evidence ON evidence.id = evidence_id
"""
ONE = ProofObject(1, "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.5")


def place(url: str) -> DestinationSettings:
    """A destination that is looked up in, at once."""
    return DestinationSettings(name="pacs", kind="stow", url=url, proof="query", proof_after_seconds=0)


def ways() -> Any:
    """As the delivery process asks; nobody reports over the web."""
    return inquiries("OVERREAD", lambda report, *, title_is_listed: pytest.fail("there is no report"))


def delivered(desk: ResultDesk, where: DestinationSettings) -> None:
    """Send what is owed."""
    assert DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StowSender(), desk.jobs, "test").deliver_one()


def ask(desk: ResultDesk, where: DestinationSettings) -> dict[str, str]:
    """Put one question now; the state of each proof afterwards."""
    policy = where.proof_policy()
    assert policy is not None
    desk.execute("UPDATE delivery_proof SET due_at = now()")
    assert Prover(PostgresProofs(desk.database), where, policy, ways()[ProofWay.QUERY]).ask_once()
    return {row["uid"]: row["state"] for row in desk.execute(_STATES)}


def test_an_orthanc_that_lost_an_object_gets_it_again_over_the_web(
    desk: ResultDesk, start_orthanc: Callable[..., Orthanc]
) -> None:
    """Both stored and one deleted: after three searches it is sent again, alone, and then found."""
    web_orthanc = start_orthanc(dicomweb=True)
    segmentation: EvidenceObject = evidence_object(EvidenceRole.SEGMENTATION, study_instance_uid=STUDY)
    report = evidence_object(EvidenceRole.REPORT, study_instance_uid=STUDY)
    desk.owe(segmentation, report)
    desk.execute("UPDATE study SET study_instance_uid = %s", STUDY)
    where = place(f"http://127.0.0.1:{web_orthanc.http_port}/dicom-web")
    delivered(desk, where)
    [lost] = web_orthanc.json("POST", "/tools/lookup", segmentation.sop_instance_uid.encode())
    web_orthanc.request("DELETE", f"/instances/{lost['ID']}")

    said = [ask(desk, where) for _ in range(3)]

    assert [each[segmentation.sop_instance_uid] for each in said] == ["owed", "owed", "lost"]
    assert {each[report.sop_instance_uid] for each in said} == {"proven"}
    delivered(desk, where)
    assert set(ask(desk, where).values()) == {"proven"}
    assert {uid for uid, _ in web_orthanc.instances_of(STUDY)} == {
        segmentation.sop_instance_uid,
        report.sop_instance_uid,
    }
    study = web_orthanc.study_id(STUDY)
    web_orthanc.request("DELETE", f"/studies/{study}")
    request = ProofRequest("1.2", "pacs", ProofWay.QUERY, (ONE,))
    (of_nothing,) = ways()[ProofWay.QUERY].ask(where, request, lambda: False)
    assert of_nothing.word is Word.ABSENT, "a study that it does not know at all"


def matches(*instances: tuple[str, str]) -> Answer:
    """A list of instances with their SOP Classes."""
    listed = [
        {"00080018": {"vr": "UI", "Value": [uid]}} | ({"00080016": {"vr": "UI", "Value": [kind]}} if kind else {})
        for uid, kind in instances
    ]
    return reply(200, json.dumps(listed).encode())


def asked(archive: StowArchive, *answers: Answer) -> tuple[Word, str]:
    """What comes of asking for one object."""
    archive.answers += answers
    request = ProofRequest("1.2", "pacs", ProofWay.QUERY, (ONE,))
    (answer,) = ways()[ProofWay.QUERY].ask(place(archive.url), request, lambda: False)
    return answer.word, answer.note


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([matches((ONE.sop_instance_uid, ONE.sop_class_uid))], Found.FOUND),
        ([matches((ONE.sop_instance_uid, ""))], Found.FOUND),
        ([matches(("1.9", ""), (ONE.sop_instance_uid, ""))], Found.FOUND),
        ([matches((ONE.sop_instance_uid, "1.2.840.10008.5.1.4.1.1.7"))], Found.OTHER_CLASS),
        ([matches()], Found.NOT_FOUND),
        ([reply(204)], Found.NOT_FOUND),
        ([reply(404), reply(204)], Found.NOT_FOUND),
        ([reply(404), matches()], Found.NOT_FOUND),
    ],
)
def test_what_a_search_finds_decides(stow_archive: StowArchive, answers: list[Answer], found: Found) -> None:
    """The object under its UID and class; some servers answer 404 for a series that they do not know."""
    assert asked(stow_archive, *answers) == WORDS[found]
    assert stow_archive.requests[0].line == (
        "GET /dicom-web/studies/1.2.3/series/1.2.3.4/instances?SOPInstanceUID=1.2.3.4.5 HTTP/1.1"
    )
    assert stow_archive.requests[0].header["accept"] == "application/dicom+json"


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([matches(("1.9", ""))], "does not search by SOP Instance UID"),
        ([reply(404), reply(404)], "has no QIDO-RS at its url"),
        ([reply(302, Location="/other")], "redirects our search"),
        ([reply(401)], "does not accept our credentials"),
        ([reply(403)], "does not let us search"),
        ([reply(400)], "refused the search"),
        ([reply(503)], "failed at the search"),
        ([reply(201)], "a status that QIDO-RS does not have"),
        ([reply(200, b"<html>")], "no DICOM JSON"),
        ([reply(200, b"")], "no DICOM JSON"),
        ([reply(200, b"[3]")], "no DICOM JSON"),
        ([reply(200, b"[" + b" " * 2**20 + b"]")], "no DICOM JSON"),
        ([raw()], "connection ended"),
    ],
)
def test_a_search_that_fails_proves_and_loses_nothing(
    stow_archive: StowArchive, answers: list[Answer], sentence: str
) -> None:
    """Nothing is sent again because an archive could not be asked, or did not say."""
    word, note = asked(stow_archive, *answers)

    assert word is Word.UNSAID
    assert sentence in note


def test_who_cannot_be_asked_is_asked_once(stow_archive: StowArchive) -> None:
    """Of a hundred objects the first question shows that the others are in vain; each is told why."""
    objects = tuple(ProofObject(number, "1.2", "1.3", "1.4", f"1.5.{number}") for number in range(100))
    request = ProofRequest("1.2", "pacs", ProofWay.QUERY, objects)
    stow_archive.answers.append(reply(403))
    query = ways()[ProofWay.QUERY]

    refused = query.ask(place(stow_archive.url), request, lambda: False)
    away = query.ask(place(f"http://127.0.0.1:{free_port()}/dicom-web"), request, lambda: False)

    assert len(stow_archive.requests) == 1
    assert {answer.word for answer in (*refused, *away)} == {Word.UNSAID}
    assert [answer.sop_instance_uid for answer in refused] == [one.sop_instance_uid for one in objects]
