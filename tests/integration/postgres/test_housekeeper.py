"""The housekeeper as a process: one acts, the database may go and come back, a signal ends it cleanly."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from storage.errors import DatabaseUnavailable, SchemaOutdated, StorageError
from storage.housekeeping.leadership import Leadership
from storage.housekeeping.main import _House, keep_house
from storage.postgres.engine import open_database
from storage.settings import AuditSettings, JobSettings, StudySettings

_PROGRAM = """
import logging, sys
from pathlib import Path
from storage.housekeeping.main import keep_house
from storage.settings import AuditSettings, JobSettings, StudySettings
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
study, jobs = StudySettings(quiet_seconds=0.001), JobSettings(max_attempts=1)
audit = AuditSettings(checkpoint_seconds=1)
sys.exit(keep_house(data_dir=Path(sys.argv[2]), database_url=sys.argv[1], study=study, jobs=jobs, audit=audit))
"""


class Housekeeper:
    """A housekeeper in a process of its own, and the lines it logs."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, url, str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> str:
        """The next line that has these words; the process must not end before it is logged."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if words in line:
                return line
        raise AssertionError(f"ended without logging {words!r}: {self.lines}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, read what is left and return the exit status."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate()
        self.lines += rest.splitlines()
        return self.process.returncode


@pytest.fixture
def start_housekeeper(tmp_path: Path) -> Iterator[Callable[[str], Housekeeper]]:
    """Starts housekeepers and ends those that a test left running."""
    started: list[Housekeeper] = []

    def start(url: str) -> Housekeeper:
        started.append(Housekeeper(url, tmp_path / "house"))
        return started[-1]

    yield start
    for housekeeper in started:
        if housekeeper.process.poll() is None:
            housekeeper.process.kill()
            housekeeper.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_settles_and_rescues_until_it_is_told_to_stop(
    hospital: Any, start_housekeeper: Callable[[str], Housekeeper], number: int
) -> None:
    """Both duties run, and either signal ends the process with 0."""
    hospital.install()
    hospital.receive(hospital.arrival())
    housekeeper = start_housekeeper(hospital.url)

    housekeeper.read_until("is stable as revision 1")
    hospital.claimed()
    hospital.expire_leases()
    housekeeper.read_until("is failed now")

    assert housekeeper.stop(number) == 0
    assert hospital.rows("SELECT state, reason_code FROM job WHERE kind = 'inference'") == [
        ("failed", "attempts-spent")
    ]


def test_only_one_of_two_housekeepers_acts(hospital: Any, start_housekeeper: Callable[[str], Housekeeper]) -> None:
    """While one holds the lock the other is idle; when the first dies the second takes over."""
    holder = open_database(hospital.url, "test")
    leadership = Leadership(holder)
    assert leadership.held()
    rival = Leadership(hospital.database)
    assert not rival.held()
    housekeeper = start_housekeeper(hospital.url)
    housekeeper.read_until("keeping house")
    hospital.receive(hospital.arrival())

    assert leadership.held()
    leadership.release()
    housekeeper.read_until("is stable as revision 1")

    assert not rival.held()
    assert housekeeper.stop() == 0
    assert rival.held()
    rival.release()
    holder.close()


def test_leadership_is_lost_with_its_connection(hospital: Any) -> None:
    """A holder whose connection was cut notices before it acts again."""
    leadership = Leadership(hospital.database)
    assert leadership.held()
    hospital.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    with pytest.raises(DatabaseUnavailable):
        leadership.held()

    assert leadership.held()
    leadership.release()


def test_it_outlives_the_database(
    hospital: Any, start_housekeeper: Callable[[str], Housekeeper], postgres_server: str
) -> None:
    """While nobody may connect it waits with one line, and with one line it goes on."""
    name = hospital.url.split("/test_")[1].split("?")[0]
    housekeeper = start_housekeeper(hospital.url)
    housekeeper.read_until("keeping house")
    hospital.receive(hospital.arrival())
    housekeeper.read_until("is stable as revision 1")
    with contextlib.closing(psycopg2.connect(postgres_server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE test_{name} ALLOW_CONNECTIONS false")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [f"test_{name}"]
            )
            housekeeper.read_until("housekeeping waits")
            cursor.execute(f"ALTER DATABASE test_{name} ALLOW_CONNECTIONS true")
    housekeeper.read_until("housekeeping goes on")
    hospital.receive(hospital.arrival())
    housekeeper.read_until("is stable as revision 2")

    assert housekeeper.stop() == 0
    assert sum("housekeeping waits" in line for line in housekeeper.lines) == 1
    assert sum("Traceback" in line for line in housekeeper.lines) == 0


def test_a_database_that_refuses_changes_is_told_once(
    hospital: Any, start_housekeeper: Callable[[str], Housekeeper], postgres_server: str
) -> None:
    """Each duty that a read-only database refuses says so once, and once that it works again; never a stack."""
    hospital.receive(hospital.arrival())
    name = "test_" + hospital.url.split("/test_")[1].split("?")[0]
    with contextlib.closing(psycopg2.connect(postgres_server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            housekeeper = start_housekeeper(hospital.url)
            housekeeper.read_until("cannot settle studies")
            cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
    housekeeper.read_until("is stable as revision 1")
    housekeeper.read_until("can settle studies again")

    assert housekeeper.stop() == 0
    assert sum("cannot settle studies" in line for line in housekeeper.lines) == 1
    assert sum("Traceback" in line for line in housekeeper.lines) == 0


@pytest.mark.parametrize("refusal", [StorageError("No."), DatabaseUnavailable()])
def test_a_duty_that_fails_tells_when_it_begins_and_when_it_ends(
    hospital: Any, caplog: pytest.LogCaptureFixture, refusal: StorageError
) -> None:
    """Three failures in a row make one line, another duty beside it none, and the first success one more.

    At the end the database may be gone.
    """
    house = _House(hospital.database)
    caplog.set_level("INFO")

    def refused() -> int:
        raise refusal

    for _ in range(3):
        house.tend("sweep", refused)
        house.tend("dust", lambda: 0)
    house.tend("sweep", lambda: 0)
    house.leaves()
    house.leave("sweep", refused)

    assert [record.getMessage() for record in caplog.records] == [
        f"the housekeeper cannot sweep and keeps trying: {refusal}",
        "the housekeeper can sweep again",
        "the database ended first; the housekeeper will sweep after the next start"
        if isinstance(refusal, DatabaseUnavailable)
        else f"the housekeeper cannot sweep and keeps trying: {refusal}",
    ]
    assert not any(record.exc_info for record in caplog.records)


def test_it_starts_without_a_database_and_ends_cleanly(start_housekeeper: Callable[[str], Housekeeper]) -> None:
    """No server at the start is a reason to wait, not to die."""
    housekeeper = start_housekeeper("postgresql://nobody@127.0.0.1:1/nothing")

    housekeeper.read_until("housekeeping waits")

    assert housekeeper.stop() == 0


def test_an_outdated_schema_stops_it_at_the_start(empty_database_url: str, tmp_path: Path) -> None:
    """Working on a schema of another release would be worse than not working."""
    with pytest.raises(SchemaOutdated):
        keep_house(
            data_dir=tmp_path,
            database_url=empty_database_url,
            study=StudySettings(),
            jobs=JobSettings(),
            audit=AuditSettings(),
        )
