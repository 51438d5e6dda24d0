"""`overread destinations list` tells what each destination is, and what is owed to it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.lane import PausePolicy
from storage.domain.result import EvidenceRole
from storage.postgres.lane_rows import PostgresLanes
from storage.settings import JobSettings
from tests.integration.destinations.conftest import Run
from tests.peers.evidence_files import evidence_object
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.result_desk import ResultDesk

_PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[ResultDesk]:
    """Results in the database that the command reads."""
    desk = ResultDesk(database_url, tmp_path / "data", JobSettings())
    yield desk
    desk.close()


def deliver(desk: ResultDesk, port: int) -> None:
    """One try."""
    pacs = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=port)
    DeliveryWorker(desk.queue, desk.log, {"pacs": pacs}, StoreScu("OVERREAD"), desk.jobs, "test").deliver_one()


def test_a_destination_stands_there_with_its_settings(destinations: Run) -> None:
    """Name, kind, address, profile and proof, before anything was ever sent."""
    done = destinations("list", "--json", port=104, profile="weasis")

    assert done.returncode == 0
    [row] = json.loads(done.stdout)
    assert row == {
        "name": "pacs",
        "kind": "dimse",
        "ae_title": "PACS",
        "host": "127.0.0.1",
        "port": 104,
        "tls": False,
        "url": "",
        "profile": "weasis",
        "proof": "none",
        "waiting": 0,
        "failed": 0,
        "acknowledged": 0,
        "last_acknowledged_at": None,
        "error": None,
        "unproven": 0,
        "lane": "flowing",
        "paused_at": None,
        "probe_at": None,
        "pause_note": None,
    }


def test_before_the_first_start_there_is_a_list_and_no_database(destinations: Run, tmp_path: Path) -> None:
    """Looking at the settings makes nothing: the list stands before Overread ever ran, and nothing is owed."""
    done = destinations("list", port=104, variables={"OVERREAD_DATABASE_URL": ""})

    assert done.returncode == 0
    assert "PACS@127.0.0.1:104" in done.stdout
    assert not (tmp_path / "data" / "postgres").exists()


def test_what_waits_failed_and_arrived_is_counted(
    desk: ResultDesk, destinations: Run, recording_pacs: RecordingPacs
) -> None:
    """One object arrives and the other is refused for good: one is sent, one failed, with the sentence."""
    desk.owe(evidence_object(EvidenceRole.SEGMENTATION), evidence_object(EvidenceRole.REPORT))
    [before] = json.loads(destinations("list", "--json", port=recording_pacs.port).stdout)
    recording_pacs.answer(0x0000, 0xC000)
    deliver(desk, recording_pacs.port)

    [after] = json.loads(destinations("list", "--json", port=recording_pacs.port).stdout)

    assert (before["waiting"], before["failed"], before["acknowledged"]) == (2, 0, 0)
    assert (after["waiting"], after["failed"], after["acknowledged"]) == (0, 1, 1)
    assert "cannot understand the instance" in after["error"]
    assert "cannot understand the instance" in destinations("list", port=recording_pacs.port).stdout


def test_a_pause_is_told_by_list_and_status(
    desk: ResultDesk, destinations: Run, database_url: str, tmp_path: Path
) -> None:
    """Since when, and why, in words and in JSON; in `status` it stands among the trouble, too."""
    desk.owe(evidence_object(EvidenceRole.REPORT))
    PostgresLanes(desk.database).note_failure("pacs", PausePolicy(1, 60, 300), "It is away.")

    [row] = json.loads(destinations("list", "--json", port=104).stdout)
    shown = destinations("list", port=104).stdout
    told = _status(tmp_path, database_url, OVERREAD_DESTINATIONS=json.dumps([_PACS]))

    assert (row["lane"], row["pause_note"], row["probe_at"] > row["paused_at"]) == ("paused", "It is away.", True)
    assert "paused since 20" in shown
    assert "It is away." in shown
    assert "tried again at 20" in told
    assert "deliveries to pacs paused" in told


def _status(tmp_path: Path, database_url: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(tmp_path / "data"),
        "OVERREAD_DATABASE_URL": database_url,
    }
    return subprocess.run(
        [sys.executable, "-m", "overread", "status"],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_status_and_list_agree_on_what_a_destination_that_left_did_not_get(
    desk: ResultDesk, tmp_path: Path, destinations: Run, database_url: str
) -> None:
    """Once given up it is failed in both, not waiting, and both say that the name is not in the settings."""
    desk.owe(evidence_object(EvidenceRole.REPORT), destinations=("archive",))
    deliver(desk, 104)

    _, left = json.loads(destinations("list", "--json", port=104).stdout)
    status = _status(tmp_path, database_url)

    assert (left["name"], left["waiting"], left["failed"]) == ("archive", 0, 1)
    assert "Destination archive: not in the settings" in status
    [line] = [line for line in status.splitlines() if line.startswith("archive")]
    assert "failed: No [[destinations]] entry has the name" in line


def test_a_destination_that_left_the_settings_is_still_named(desk: ResultDesk, destinations: Run) -> None:
    """What is owed to a name that no entry has would wait unseen."""
    desk.owe(evidence_object(EvidenceRole.REPORT), destinations=("archive",))

    listed = json.loads(destinations("list", "--json", port=104).stdout)

    assert [(row["name"], row["kind"], row["waiting"]) for row in listed] == [
        ("pacs", "dimse", 0),
        ("archive", None, 1),
    ]
    assert "not in the settings" in destinations("list", port=104).stdout
