"""The PostgreSQL of our own: whose it is, and when it ends."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from storage.errors import DatabaseUnavailable, DataFolderBusy
from storage.postgres.embedded import EmbeddedPostgres, running_url

_START_AND_WAIT = """
import sys
from pathlib import Path
from storage.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.owner_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder's place for the server; under the system's temporary folder, where any account may enter."""
    with tempfile.TemporaryDirectory(prefix="overread-pg-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "postgres"


def _ask(url: str, question: str) -> object:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0] if cursor.description else None


def test_what_was_written_is_there_after_a_restart(folder: Path) -> None:
    """The cluster under the data folder is used again, with the same password."""
    first = EmbeddedPostgres(folder)
    first.start()
    _ask(first.owner_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()

    second = EmbeddedPostgres(folder)
    try:
        second.start()
        assert _ask(second.owner_url, "SELECT answer FROM kept") == 42
    finally:
        second.stop()


def test_a_second_start_on_one_folder_is_refused_with_a_sentence(folder: Path) -> None:
    """Two servers never share a cluster; the sentence names the process that has it and what to do."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        with pytest.raises(DataFolderBusy, match=rf"process {os.getpid()}.*set another data_dir"):
            EmbeddedPostgres(folder).start()
    finally:
        server.stop()


def test_another_process_can_join_the_running_server(folder: Path) -> None:
    """The URL of a running server is found by its folder, and gone when it has stopped."""
    server = EmbeddedPostgres(folder)
    url = server.start()
    joined = running_url(folder)
    server.stop()

    assert joined == url
    assert running_url(folder) is None


def test_the_server_ends_when_the_process_that_started_it_is_killed(folder: Path) -> None:
    """SIGKILL of the starter leaves no server behind, and the folder can be used at once."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _START_AND_WAIT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    _ask(starter.stdout.readline().strip(), "CREATE TABLE kept AS SELECT 7 AS answer")
    starter.send_signal(signal.SIGKILL)
    starter.communicate()

    successor = EmbeddedPostgres(folder)
    try:
        successor.start()
        assert _ask(successor.owner_url, "SELECT answer FROM kept") == 7
    finally:
        successor.stop()


def test_a_server_that_was_killed_is_revived_with_its_data_and_its_url(folder: Path) -> None:
    """Whoever looks after it now and then gets the same server back."""
    server = EmbeddedPostgres(folder)
    server.start()
    url = server.owner_url
    try:
        _ask(url, "CREATE TABLE kept AS SELECT 3 AS answer")
        os.kill(int((folder / "cluster" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

        assert _until_it_answers(server, url, "SELECT answer FROM kept") == 3
    finally:
        server.stop()


def _until_it_answers(server: EmbeddedPostgres, url: str, question: str) -> object:
    pause = threading.Event()
    for _ in range(300):
        server.revive()
        try:
            return _ask(url, question)
        except psycopg2.OperationalError:
            pause.wait(0.1)
    raise AssertionError("the server did not come back")


def test_a_command_that_holds_the_folder_for_a_moment_is_waited_for(folder: Path) -> None:
    """`overread status` and `overread up` at the same time do not refuse one another."""
    first = EmbeddedPostgres(folder)
    first.start()
    soon = threading.Timer(0.5, first.stop)
    soon.start()

    second = EmbeddedPostgres(folder)
    try:
        assert _ask(second.start(), "SELECT 1") == 1
    finally:
        soon.join()
        second.stop()


def test_nobody_else_may_open_the_socket_and_a_password_is_asked(folder: Path) -> None:
    """The socket's folder is closed to other accounts, there is no TCP port, and a wrong password is refused."""
    server = EmbeddedPostgres(folder)
    url = server.start()
    try:
        assert stat.S_IMODE((folder / "socket").stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
        assert _ask(url, "SHOW listen_addresses") == ""
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(f"postgresql://overread:wrong@/overread?host={folder / 'socket'}")
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(f"postgresql://overread_service:wrong@/overread?host={folder / 'socket'}")
    finally:
        server.stop()


def test_the_log_of_the_server_repeats_no_value_of_a_row(folder: Path) -> None:
    """A refused row leaves no trace of its values, for they may be a patient's."""
    server = EmbeddedPostgres(folder)
    server.start()
    url = server.owner_url
    try:
        _ask(url, "CREATE TABLE patient (patient_id text PRIMARY KEY)")
        _ask(url, "INSERT INTO patient VALUES ('CANARY-4711')")
        with pytest.raises(psycopg2.IntegrityError):
            _ask(url, "INSERT INTO patient VALUES ('CANARY-4711')")
    finally:
        server.stop()

    assert "CANARY-4711" not in (folder / "log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server under another account")
def test_a_folder_that_the_servers_account_may_not_enter_is_refused(folder: Path) -> None:
    """As root, a data folder inside a closed one ends in a sentence with the remedy, not in a stack."""
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(DatabaseUnavailable, match=r"may not enter .*closed; set data_dir"):
        EmbeddedPostgres(closed / "postgres").start()


def test_a_path_too_long_for_a_socket_still_works(folder: Path) -> None:
    """A deep data folder gets its socket elsewhere, in a folder that goes when the server stops."""
    deep = folder.parent / ("x" * 120) / "postgres"
    server = EmbeddedPostgres(deep)
    url = server.start()
    try:
        assert _ask(url, "SELECT 1") == 1
        socket_folder = Path(url.partition("?host=")[2])
    finally:
        server.stop()

    assert not socket_folder.exists()
