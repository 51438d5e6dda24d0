"""Everything may be absent at the start and come in any order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.postgres import schema
from storage.postgres.rights import grant_service_rights
from tests.peers.postgres_server import OWNER, SERVICE, TcpServer

_DEADLINE = 60.0
_WAITING_ROLES = ("work", "deliver", "housekeep")


class Roles:
    """Processes of `overread ROLE` on one data folder and one database URL, each with its log."""

    def __init__(self, folder: Path, server: TcpServer) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        self._environment = inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(folder / "data"),
            "OVERREAD_DATABASE_URL": server.url(),
            "PGPASSWORD": server.service_password,
            "OVERREAD_LISTENER_PORT": "0",
            "OVERREAD_WEB_PORT": "0",
            "OVERREAD_RUN_DIR": str(folder),
        }

    def start(self, role: str) -> None:
        """Start one role."""
        with self._log(role).open("ab") as log:
            command = [sys.executable, "-m", "overread", role]
            self._processes[role] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def log(self, role: str) -> str:
        """What the role has said so far."""
        return self._log(role).read_text()

    def wait_for(self, role: str, text: str) -> None:
        """Wait until the role has said ``text``."""
        deadline = time.monotonic() + _DEADLINE
        while text not in self.log(role):
            assert self._processes[role].poll() is None, self.log(role)
            assert time.monotonic() < deadline, self.log(role)
            time.sleep(0.05)

    def health(self) -> str:
        """What `overread health` says of all of them."""
        command = [sys.executable, "-m", "overread", "health"]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def stop(self) -> dict[str, int]:
        """End every role as an operator would; the exit statuses."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {role: process.wait(_DEADLINE) for role, process in self._processes.items()}

    def kill(self) -> None:
        """End what is left."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _log(self, role: str) -> Path:
        return self._folder / f"{role}.log"


@pytest.fixture
def absent_server(tcp_server: Callable[..., TcpServer]) -> TcpServer:
    """A server that has been made and is not running, so that its URL is known."""
    return tcp_server()


@pytest.fixture
def roles(tmp_path: Path, absent_server: TcpServer) -> Iterator[Callable[..., Roles]]:
    """Start roles on the absent server."""
    started = Roles(tmp_path, absent_server)

    def start(*names: str) -> Roles:
        for name in names:
            started.start(name)
        return started

    yield start
    started.kill()


def _upgrade(server: TcpServer) -> None:
    """What `overread db upgrade` does with the URLs of both roles."""
    schema.upgrade(_as_owner(server))
    grant_service_rights(_as_owner(server), SERVICE)


def _as_owner(server: TcpServer) -> str:
    return server.url(OWNER).replace("@", f":{quote(server.owner_password)}@")


def test_roles_wait_for_the_server_and_then_for_its_schema(
    roles: Callable[..., Roles], absent_server: TcpServer
) -> None:
    """A role started before PostgreSQL and before `overread db upgrade` says once why it waits, and goes on alone."""
    running = roles(*_WAITING_ROLES, "listen")
    for role in (*_WAITING_ROLES, "listen"):
        running.wait_for(role, "The database does not answer")
    running.wait_for("listen", "Listening on")  # reception waits for nothing
    assert running.health() == "deliver: alive.\nhousekeep: alive.\nlisten: alive.\nwork: alive.\n"

    absent_server.start()
    for role in (*_WAITING_ROLES, "listen"):
        running.wait_for(role, "has no schema yet")
    schema.upgrade(_as_owner(absent_server))
    for role in (*_WAITING_ROLES, "listen"):
        running.wait_for(role, "has no rights on the tables yet")
    grant_service_rights(_as_owner(absent_server), SERVICE)
    for role in (*_WAITING_ROLES, "listen"):
        running.wait_for(role, "the database is there")

    assert running.stop() == dict.fromkeys((*_WAITING_ROLES, "listen"), 0)
    for role in _WAITING_ROLES:
        assert running.log(role).count("waiting:") == 3, running.log(role)


def test_a_role_that_waits_can_be_stopped(roles: Callable[..., Roles]) -> None:
    """SIGTERM ends a role that waits for its database with status 0."""
    running = roles(*_WAITING_ROLES)
    for role in _WAITING_ROLES:
        running.wait_for(role, "waiting: The database does not answer")

    assert running.stop() == dict.fromkeys(_WAITING_ROLES, 0)


def test_no_server_of_ours_starts_beside_a_configured_one(
    roles: Callable[..., Roles], absent_server: TcpServer, tmp_path: Path
) -> None:
    """With [database] url set, no role makes or starts an embedded PostgreSQL in the data folder."""
    absent_server.start()
    _upgrade(absent_server)
    running = roles(*_WAITING_ROLES, "listen")
    for role, text in (("work", "ready"), ("deliver", "delivering"), ("housekeep", "keeping"), ("listen", "Listening")):
        running.wait_for(role, text)

    assert running.stop() == dict.fromkeys((*_WAITING_ROLES, "listen"), 0)
    assert not (tmp_path / "data" / "postgres").exists()


def test_an_upgrade_waits_for_its_server(absent_server: TcpServer, tmp_path: Path) -> None:
    """`overread db upgrade --wait` takes a server that comes later; without it the command ends at once with 75."""
    command = [sys.executable, "-m", "overread", "db", "upgrade"]
    environment = {
        **os.environ,
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATABASE_URL": absent_server.url(),
        "OVERREAD_DATABASE_OWNER_URL": absent_server.url(OWNER),
        "PGPASSWORD": absent_server.owner_password,
    }
    at_once = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    with subprocess.Popen([*command, "--wait", "60"], env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        absent_server.start()
        told, _ = waiting.communicate(timeout=_DEADLINE)

    assert at_once.returncode == 75
    assert waiting.returncode == 0
    assert told == f"The database stands at revision {schema.check(_as_owner(absent_server))}.\n"
