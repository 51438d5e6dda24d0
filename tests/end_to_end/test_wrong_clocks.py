"""Fault F27: each role's clock is wrong in its own way and jumps while it works; only the database's clock is right."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydicom import Dataset, dcmread

from overread.demo.modality import push
from tests.end_to_end.conftest import Series, destination, write_series
from tests.peers.free_ports import free_port
from tests.peers.recording_pacs import RecordingPacs

_SOURCE = Path(__file__).parents[1] / "peers" / "wrong_clock.c"
_DEADLINE_S = 120.0
_ROLES = {"listen": "America/St_Johns", "work": "Asia/Kathmandu", "deliver": "UTC", "housekeep": "Pacific/Apia"}
_DAY, _HOUR = 86_400, 3_600
# A day ahead and behind, an hour back as in autumn, half a year, a leap second.
_WRONG = {"listen": _DAY, "work": -_HOUR, "deliver": 182 * _DAY, "housekeep": -_DAY}
_WRONG_AFTER_A_JUMP = {"listen": -_HOUR, "work": _DAY, "deliver": -1, "housekeep": 365 * _DAY}
_WRONG_AGAIN = {"listen": -_DAY, "work": -2 * _HOUR, "deliver": _DAY, "housekeep": -365 * _DAY}


class Clocks:
    """The roles as processes, each under a clock of its own that can be set while it runs."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._library = folder / "wrong_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self._library, _SOURCE, "-ldl"], check=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.turn(_WRONG)

    def turn(self, offsets: dict[str, int]) -> None:
        """Let the clocks be so many seconds off from now on."""
        for role, offset in offsets.items():
            draft = self._folder / f"{role}.draft"
            draft.write_text(str(offset))
            draft.rename(self._folder / f"{role}.clock")

    def start(self, role: str) -> None:
        """Start one role under its clock and in its time zone."""
        environment = self._environment | {
            "LD_PRELOAD": str(self._library),
            "WRONG_CLOCK": str(self._folder / f"{role}.clock"),
            "TZ": _ROLES[role],
        }
        with (self._folder / f"{role}.log").open("ab") as log:
            command = [sys.executable, "-m", "overread", role]
            self._processes[role] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self, role: str) -> None:
        """As a power cut would."""
        self._processes[role].kill()
        self._processes[role].wait()

    def stop(self) -> set[int]:
        """End all as an operator would; their exit statuses."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {process.wait(_DEADLINE_S) for process in self._processes.values()}

    def end(self) -> None:
        """End what is left."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def said(self) -> str:
        """The ends of all logs."""
        return "\n".join(path.read_text()[-2000:] for path in sorted(self._folder.glob("*.log")))


@pytest.fixture
def port() -> int:
    """Where the listener listens."""
    return free_port()


@pytest.fixture
def clocks(
    tmp_path: Path, database_url: str, port: int, recording_pacs: RecordingPacs, bright_voxels: Path
) -> Iterator[Clocks]:
    """All four roles, started under wrong clocks, with an algorithm that takes some seconds and a PACS."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
    environment = (
        inherited
        | destination(recording_pacs.port)
        | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(tmp_path / "data"),
            "OVERREAD_DATABASE_URL": database_url,
            "OVERREAD_LISTENER_PORT": str(port),
            "OVERREAD_STUDY_QUIET_SECONDS": "1",
            "OVERREAD_JOBS_LEASE_SECONDS": "3",
            "OVERREAD_SPOOL_MIN_FREE_BYTES": "0",
            "OVERREAD_WORKER_DEVICE": "cpu",
        }
    )
    added = subprocess.run(
        [sys.executable, "-m", "overread", "algorithms", "add", str(bright_voxels)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert added.returncode == 0, added.stderr
    started = Clocks(tmp_path, environment)
    for role in _ROLES:
        started.start(role)
    yield started
    started.end()


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """What the database says."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True

    def ask(query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return list(cursor.fetchall())

    yield ask
    connection.close()


def _wait_until(clocks: Clocks, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}\n{clocks.said()}"
        time.sleep(0.1)


def _send(clocks: Clocks, series: Series, port: int) -> None:
    def sent() -> bool:
        try:
            push(series.paths, host="127.0.0.1", port=port, called_ae_title="OVERREAD")
        except Exception:  # noqa: BLE001 - the listener is being started
            return False
        return True

    _wait_until(clocks, sent, "the study was taken")


_STATE = "SELECT job.state FROM job JOIN study ON study.id = study_id WHERE kind = %s AND study_instance_uid = %s"


def test_clocks_that_are_wrong_and_jump_change_nothing(
    clocks: Clocks, port: int, rows: Callable[..., list[tuple[Any, ...]]], recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """No lease is stolen and none is immortal, nothing is purged early, and times, UIDs and order are the database's.

    The clocks jump while the first is analysed; the worker of the third is killed, and comes back at another time.
    """
    first, second, third = (write_series(tmp_path / name) for name in ("first", "second", "third"))
    _send(clocks, first, port)
    _wait_until(clocks, lambda: rows(_STATE, "inference", first.study_instance_uid) == [("in_progress",)], "it runs")
    clocks.turn(_WRONG_AFTER_A_JUMP)
    _wait_until(clocks, lambda: rows(_STATE, "delivery", first.study_instance_uid) == [("completed",)], "the first")
    _send(clocks, second, port)
    _wait_until(clocks, lambda: rows(_STATE, "delivery", second.study_instance_uid) == [("completed",)], "the second")
    _send(clocks, third, port)
    _wait_until(clocks, lambda: rows(_STATE, "inference", third.study_instance_uid) == [("in_progress",)], "it runs")
    clocks.kill("work")
    clocks.turn(_WRONG_AGAIN)
    clocks.start("work")
    _wait_until(clocks, lambda: rows(_STATE, "delivery", third.study_instance_uid) == [("completed",)], "the third")

    attempts = "SELECT attempt FROM job WHERE kind = 'inference' ORDER BY id"
    assert rows(attempts) == [(1,), (1,), (2,)]
    assert rows("SELECT count(*) FROM job WHERE due_at > now() OR scheduled_at > now() OR finished_at > now()") == [
        (0,)
    ]
    assert rows("SELECT count(*) FROM instance WHERE recorded_at > now()") == [(0,)]
    moments = [moment for (moment,) in rows("SELECT recorded_at FROM audit_event ORDER BY id")]
    assert moments == sorted(moments)
    kept = rows("SELECT sha256 FROM instance WHERE excluded_rule IS NULL")
    assert len(kept) == len(first.paths) + len(second.paths) + len(third.paths)
    _assert_results(recording_pacs, rows, [first, second, third])
    assert clocks.stop() == {0}


def _assert_results(pacs: RecordingPacs, rows: Callable[..., list[tuple[Any, ...]]], studies: list[Series]) -> None:
    """Each object is at the PACS once, in the order of the studies, and dated as the database dates its job."""
    came = [_read(content) for _, content in pacs.received]
    assert len({one.SOPInstanceUID for one in came}) == len(came)
    order = list(dict.fromkeys(str(one.StudyInstanceUID) for one in came))
    assert order == [one.study_instance_uid for one in studies]
    began = dict(
        rows(
            "SELECT study_instance_uid, to_char(started_at AT TIME ZONE 'UTC', 'YYYYMMDD') "
            "FROM job JOIN study ON study.id = study_id WHERE kind = 'inference'"
        )
    )
    for one in came:
        assert abs(int(one.ContentDate) - int(began[one.StudyInstanceUID])) <= 1  # in the zone of the machine


def _read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content), force=True)
