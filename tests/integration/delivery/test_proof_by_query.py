"""Proof by query, of real archives: what they hold is found, what they lost is sent again, else it is asked again."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.proof.prover import Prover, proving
from listener.scu.proof.read_back import FindInquiry
from listener.scu.proof.ways import inquiries
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from overread.commands.deliveries import deliveries
from storage.domain.result import EvidenceObject, EvidenceRole
from storage.postgres.proof_reports import take_report
from storage.postgres.proof_rows import PostgresProofs
from tests.peers.dcmtk_servers import StartDcmqrscp
from tests.peers.evidence_files import evidence_object
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs, silent_listener
from tests.peers.result_desk import ResultDesk

MAY_QUERY = {"overread": ("OVERREAD", "127.0.0.1", 104)}
STUDY = "1.2.826.0.1.3680043.8.498.5"
_STATES = """
SELECT evidence.sop_instance_uid AS uid, delivery_proof.state, delivery_proof.note, delivery_proof.losses
FROM delivery_proof JOIN delivery ON delivery.id = delivery_id JOIN evidence ON evidence.id = evidence_id
"""
_AT_PACS = "WHERE delivery.destination = 'pacs'"
_AT_SILENT = "WHERE delivery.destination = 'silent'"


@pytest.fixture
def archive(start_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """An Orthanc that lets us query it; one that does not know us aborts."""
    return start_orthanc(MAY_QUERY)


def place(port: int, ae_title: str = "ORTHANC", **settings: Any) -> DestinationSettings:
    """A destination that is looked up in, at once."""
    keys = {"name": "pacs", "ae_title": ae_title, "host": "127.0.0.1", "port": port, "proof": "query"}
    return DestinationSettings(**keys | {"proof_after_seconds": 0} | settings)


def delivered(desk: ResultDesk, where: DestinationSettings, *evidence: EvidenceObject) -> None:
    """Let evidence of one study be owed, and send it."""
    if evidence:
        desk.owe(*evidence)
        desk.execute("UPDATE study SET study_instance_uid = %s", STUDY)
    worker = DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StoreScu("OVERREAD"), desk.jobs, "test")
    assert worker.deliver_one()


def ask(desk: ResultDesk, where: DestinationSettings) -> dict[str, str]:
    """Put one question now; the state of each proof afterwards."""
    policy = where.proof_policy()
    assert policy is not None
    desk.execute("UPDATE delivery_proof SET due_at = now()")
    assert Prover(PostgresProofs(desk.database), where, policy, FindInquiry("OVERREAD")).ask_once()
    return {row["uid"]: row["state"] for row in desk.execute(_STATES)}


@pytest.fixture
def segmentation() -> EvidenceObject:
    """A segmentation of the study."""
    return evidence_object(EvidenceRole.SEGMENTATION, study_instance_uid=STUDY)


@pytest.fixture
def report() -> EvidenceObject:
    """A report of the study."""
    return evidence_object(EvidenceRole.REPORT, study_instance_uid=STUDY)


def test_an_archive_that_lost_an_object_gets_it_again(
    desk: ResultDesk, archive: Orthanc, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """Orthanc acknowledged both and one was deleted: after three questions it is sent again, alone, and then found."""
    where = place(archive.dicom_port)
    delivered(desk, where, segmentation, report)
    [lost] = archive.json("POST", "/tools/lookup", segmentation.sop_instance_uid.encode())
    archive.request("DELETE", f"/instances/{lost['ID']}")

    said = [ask(desk, where) for _ in range(3)]

    assert [each[segmentation.sop_instance_uid] for each in said] == ["owed", "owed", "lost"]
    assert {each[report.sop_instance_uid] for each in said} == {"proven"}
    delivered(desk, where)
    assert set(ask(desk, where).values()) == {"proven"}
    assert {uid for uid, _ in archive.instances_of(STUDY)} == {segmentation.sop_instance_uid, report.sop_instance_uid}
    assert sorted(row["attempts"] for row in desk.execute("SELECT attempts FROM delivery")) == [1, 2]


def test_dcmtks_archive_is_asked_as_any_other(
    desk: ResultDesk, start_dcmqrscp: StartDcmqrscp, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """dcmqrscp stores both and finds both."""
    where = place(start_dcmqrscp(), "ARCHIVE")
    delivered(desk, where, segmentation, report)

    assert set(ask(desk, where).values()) == {"proven"}


def test_an_archive_that_cannot_be_asked_is_asked_again(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject
) -> None:
    """No C-FIND, then nobody there: the proof stays owed with the sentence what to do, and nothing is sent again."""
    where = place(recording_pacs.port)
    delivered(desk, where, report)

    assert set(ask(desk, where).values()) == {"owed"}
    assert "accepts no C-FIND" in desk.execute(_STATES)[0]["note"]
    recording_pacs.stop()
    assert set(ask(desk, where).values()) == {"owed"}
    assert "could not be reached" in desk.execute(_STATES)[0]["note"]
    assert len(recording_pacs.received) == 1


def test_the_delivery_process_asks_by_itself(
    desk: ResultDesk, archive: Orthanc, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """What is owed is asked without anybody's help, and leaving the block ends the asking."""
    where = place(archive.dicom_port)
    delivered(desk, where, segmentation, report)

    with proving(PostgresProofs(desk.database), [where], inquiries("OVERREAD", partial(take_report, desk.database))):
        archive.wait_until(lambda: {row["state"] for row in desk.execute(_STATES)} == {"proven"}, "not proven")


def test_a_silent_destination_keeps_no_other_from_being_asked(
    desk: ResultDesk, archive: Orthanc, segmentation: EvidenceObject
) -> None:
    """Fault F19: one takes the connection and says nothing; what the other holds is proven meanwhile."""
    where = place(archive.dicom_port)
    delivered(desk, where, segmentation)
    with silent_listener() as port:
        silent = place(port, name="silent")
        desk.execute(
            "INSERT INTO delivery (evidence_id, destination, job_id, state, acknowledged_at) "
            "SELECT evidence_id, 'silent', job_id, 'acknowledged', now() FROM delivery"
        )
        desk.execute(
            "INSERT INTO delivery_proof (delivery_id, destination, way) "
            "SELECT id, 'silent', 'query' FROM delivery WHERE destination = 'silent'"
        )
        proofs = PostgresProofs(desk.database)
        with proving(proofs, [silent, where], inquiries("OVERREAD", partial(take_report, desk.database))):
            archive.wait_until(lambda: [row["state"] for row in desk.execute(_STATES + _AT_PACS)] == ["proven"])
            archive.wait_until(lambda: [row["state"] for row in desk.execute(_STATES + _AT_SILENT)] == ["asked"])


def command_on(database_url: str, data_dir: Path, where: DestinationSettings) -> Callable[..., str]:
    """Runs `overread deliveries …` of a site with this destination; gives what it prints."""
    environment = {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(data_dir),
        "OVERREAD_DATABASE_URL": database_url,
        "OVERREAD_DESTINATIONS": where.model_dump_json().join("[]"),
    }

    def run(*arguments: str) -> str:
        return CliRunner().invoke(deliveries, arguments, env=environment, catch_exceptions=False).output

    return run


def test_the_command_lists_what_is_unproven_and_has_it_asked_again(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject, database_url: str, tmp_path: Path
) -> None:
    """A person sees the object, its word and the reason; a program sees the same as JSON; `prove` reopens it."""
    where = place(recording_pacs.port)
    delivered(desk, where, report)
    desk.execute("UPDATE delivery_proof SET state = 'unproven', note = 'Nobody answered.'")
    run = command_on(database_url, tmp_path / "data", where)

    [row] = json.loads(run("list", "--unproven", "--json"))
    assert (row["sop_instance_uid"], row["arrival"]) == (report.sop_instance_uid, "unproven")
    assert report.sop_instance_uid in run("list")
    assert "Nobody answered." in run("list", "--unproven", "--destination", "pacs")
    assert run("list", "--unproven", "--destination", "archive") == "Nothing is unproven.\n"
    assert run("prove") == "1 object is asked about again.\n"
    assert desk.execute(_STATES)[0]["state"] == "owed"
    unasked = command_on(database_url, tmp_path / "data", where.model_copy(update={"name": "ward", "proof": "none"}))
    assert unasked("list", "--unproven", "--destination", "ward") == (
        "Nothing is unproven.\nWhat ward acknowledged is not proven either: proof is none there.\n"
    )


def test_deliveries_that_were_given_up_are_sent_again_on_wish(
    desk: ResultDesk, recording_pacs: RecordingPacs, report: EvidenceObject, database_url: str, tmp_path: Path
) -> None:
    """Only those of the destination that is named, and each once; then everything arrives."""
    where = place(recording_pacs.port)
    recording_pacs.answer(0xC000)
    delivered(desk, where, report)
    run = command_on(database_url, tmp_path / "data", where)

    assert run("retry", "--destination", "archive") == "No delivery was given up.\n"
    assert "does the delivery of job" in run("retry", "--destination", "pacs")
    assert run("retry") == "No delivery was given up.\n"
    delivered(desk, where)

    assert desk.deliveries() == {report.sop_instance_uid: ("acknowledged", 0)}
