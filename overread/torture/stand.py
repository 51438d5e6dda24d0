"""What a fault run is made on: a PostgreSQL, a data folder, and an `overread listen` that may be killed at will."""

import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from overread.errors import TortureFailed
from overread.torture.processes import descendants
from overread.torture.sender import Sender
from storage.errors import DatabaseUnavailable
from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.rights import grant_service_rights

_LOG = logging.getLogger(__name__)
_DEADLINE = 120.0
_POLL = 0.05
_PORTS = (10_000, 32_000)  # below those that the system gives to outgoing connections
_LOG_TAIL = 3000


class Stand:
    """One installation in a folder of its own, which is removed at the end unless something went wrong.

    ``disk`` may be the mount point of a file system of its own; the database is never on it.
    """

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"overread-torture-{name}-"))
        self.folder.chmod(0o711)  # PostgreSQL's account must be able to pass
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self.ledger_path = self.folder / "ledger.jsonl"
        self.port = _free_port()
        self.server = EmbeddedPostgres(self.folder / "postgres")
        self.extra_environment: dict[str, str] = {}
        self.database_url = ""
        self._listener: subprocess.Popen[bytes] | None = None
        self._keep = False

    def __enter__(self) -> "Stand":
        try:
            self.server.start()
            schema.upgrade(self.server.owner_url)
            grant_service_rights(self.server.owner_url, SERVICE_ROLE)
            self.database_url = self.server.url
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep = self._keep or (kind is not None and issubclass(kind, Exception))
        self._clean_up()

    def _clean_up(self) -> None:
        self.kill_all()
        self.server.stop()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self) -> Path:
        """Leave the folder for whoever looks into a fault, and say where it is."""
        self._keep = True
        return self.folder

    @property
    def data_dir(self) -> Path:
        """The data folder of the listener."""
        return self.disk / "data"

    def environment(self) -> dict[str, str]:
        """The variables of the listener and of commands about it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        return inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(self.data_dir),
            "OVERREAD_DATABASE_URL": self.database_url,
            "OVERREAD_LISTENER_PORT": str(self.port),
            "OVERREAD_LISTENER_MAX_ASSOCIATIONS": "1000",
            "OVERREAD_SPOOL_MIN_FREE_BYTES": "0",
        }

    def start_listener(self, extra: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it answers a C-ECHO."""
        with (self.folder / "log").open("ab") as log:
            self._listener = subprocess.Popen(
                [sys.executable, "-P", "-m", "overread", "listen"],
                env=self.environment() | self.extra_environment | dict(extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_until(self.answers, "the listener answers")

    def answers(self) -> bool:
        """Whether it answers a C-ECHO now; one that ended by itself is a fault."""
        if self._listener is not None and self._listener.poll() is not None:
            raise TortureFailed(f"The listener ended by itself with status {self._listener.returncode}.\n{self.log()}")
        try:
            with Sender(self.port, seconds=5) as sender:
                return sender.echo() == 0
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The listener's processes, the first one first."""
        return descendants(self.listener_pid)

    @property
    def listener_pid(self) -> int:
        """The listener's first process."""
        if self._listener is None:
            raise TortureFailed("The listener does not run.")
        return self._listener.pid

    def kill_one(self, pid: int) -> None:
        """SIGKILL one of the listener's processes; if it was the first one, all are gone and it is started again."""
        together = self.processes()
        kill_quietly(pid)
        if pid == self.listener_pid:
            self.wait_until(lambda: not any(_runs(one) for one in together), "all its processes end with the first one")
            self.kill_all()
            self.start_listener()
        else:
            self.wait_until(lambda: pid not in self.processes(), "the killed process is gone")
            self.wait_until(self.answers, "the listener answers after one of its processes was killed")

    def kill_all(self) -> None:
        """SIGKILL everything the listener runs."""
        if self._listener is None:
            return
        together = descendants(self._listener.pid)
        for pid in reversed(together):
            kill_quietly(pid)
        self._listener.wait()
        self._listener = None
        self.wait_until(lambda: not any(_runs(pid) for pid in together), "what was killed has let go of the port")

    def stop_listener(self) -> int:
        """End it as an operator would, and return the exit status."""
        if self._listener is None:
            return 0
        self._listener.send_signal(signal.SIGTERM)
        status = self._listener.wait(_DEADLINE)
        self._listener = None
        return status

    def wait_until_imported(self) -> None:
        """Wait until the spool is empty, as `overread status --json` says."""
        self.wait_until(lambda: self.spooled() == 0, "everything in the spool has its rows")

    def spooled(self) -> int | None:
        """How many instances wait in the spool; ``None`` while the command has no answer."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "overread", "status", "--json"],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return int(json.loads(done.stdout)["spool"]["entries"]) if done.returncode == 0 else None

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again until it holds.

        Raises:
            TortureFailed: it did not for two minutes.
        """
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                if holds():
                    return
            except DatabaseUnavailable:
                pass
            if time.monotonic() > deadline:
                raise TortureFailed(f"It did not come true within {_DEADLINE:.0f} s that {what}.\n{self.log()}")
            time.sleep(_POLL)

    def log(self) -> str:
        """The end of what the listener logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-_LOG_TAIL:] if path.exists() else ""


def kill_quietly(pid: int) -> None:
    """SIGKILL a process of ours that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _runs(pid: int) -> bool:
    """Whether a process does anything; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _free_port() -> int:
    """A port nobody listens on now, nor is given to an outgoing connection while the listener is away."""
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
