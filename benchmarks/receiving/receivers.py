"""The receivers that are compared: each is started once, and keeps what it gets in a folder of its own."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from overread.torture.dcmtk_sender import dcmtk
from overread.torture.sender import Sender
from overread.torture.store_reading import read_store
from receiving.process_figures import Usage, usage
from storage.postgres.engine import Database, open_database
from storage.postgres.recorded_instances import recorded_count, recorded_digests

_START_SECONDS = 120.0
_SETTLE_SECONDS = 600.0
_POLL_SECONDS = 0.05
_PORTS = 12_000, 32_000
_NODELAY = {"TCP_NODELAY": "1"}  # DCMTK reads it; without it answers wait for the sender's delayed acknowledgements


class Receiver(ABC):
    """A program that listens on ``port``; subclasses say how it is started and what it kept."""

    called = "OVERREAD"
    synced = "nothing"

    def __init__(self, label: str, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.label = label
        self.port = free_port()
        self._folder = folder
        self._folder.mkdir(parents=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        self._environment = inherited | dict(environment or {})
        self._process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it and wait until it answers a C-ECHO."""
        with (self._folder.parent / f"{self._folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with Sender(self.port, called=self.called, seconds=5) as sender:
                    sender.echo()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{self.label} did not start: {Path(log.name).read_text()}") from None
                time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End it as an operator would."""
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._process.pid

    def usage(self) -> Usage:
        """CPU and memory of all its processes."""
        return usage(self.pid)

    @abstractmethod
    def command(self) -> list[str]:
        """How it is started."""

    def settle(self, sent: int) -> None:  # noqa: B027 - most have nothing to wait for
        """Wait until what was sent has its rows."""

    def count(self) -> int:
        """How many instances it holds."""
        return sum(1 for _ in self._kept())

    def clear(self) -> None:
        """Let go of what it holds, where that can be done from outside.

        Files are emptied and moved: names that were deleted lately slow a file system down for everybody's next ones.
        """
        away = self._folder.parent / f"{self._folder.name}-emptied"
        away.mkdir(exist_ok=True)
        for path in self._kept():
            os.truncate(path, 0)
            path.rename(away / path.name)

    def wrong(self, sent: Mapping[str, str]) -> int:
        """How many of those sent since the last look are missing or altered; peers are only counted."""
        lacking = len(sent) - self.count()
        self.clear()
        return abs(lacking)

    def _kept(self) -> Iterator[Path]:
        return (path for path in self._folder.iterdir() if not path.name.startswith("rows."))


class Storescp(Receiver):
    """DCMTK's receiver, which syncs nothing."""

    def __init__(self, label: str, folder: Path, *options: str, nodelay: bool = True) -> None:
        super().__init__(label, folder, _NODELAY if nodelay else None)
        self._options = options

    def command(self) -> list[str]:
        """With the options given."""
        return [dcmtk("storescp") or "storescp", *self._options, "-od", str(self._folder), str(self.port)]


class Pynetdicom(Receiver):
    """A short script with the toolkit."""

    def __init__(self, label: str, folder: Path, how: str) -> None:
        super().__init__(label, folder)
        self.synced = "file and row" if how == "durable" else "nothing"
        self._how = how

    def command(self) -> list[str]:
        """The script beside this file."""
        script = Path(__file__).with_name("pynetdicom_receiver.py")
        return [sys.executable, str(script), self._how, str(self.port), str(self._folder)]


class Orthanc(Receiver):
    """Orthanc with its SQLite index, as it is installed."""

    called = "ORTHANC"
    synced = "file"

    def __init__(self, label: str, folder: Path, *, nodelay: bool = True) -> None:
        super().__init__(label, folder, _NODELAY if nodelay else None)
        self._http_port = free_port()
        self._before = 0
        settings = {
            "Name": "bench",
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "Plugins": [],
            "DicomPort": self.port,
            "HttpPort": self._http_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowEcho": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Locale": "C",
        }
        (folder.parent / f"{folder.name}.json").write_text(json.dumps(settings))

    def command(self) -> list[str]:
        """Debian's binary."""
        return ["/usr/sbin/Orthanc", str(self._folder.parent / f"{self._folder.name}.json")]

    def count(self) -> int:
        """What it says over REST, without what it held before."""
        return self._held() - self._before

    def clear(self) -> None:
        """It keeps everything, as we do: deleting thousands of files would slow the next ones down."""
        self._before = self._held()

    def _held(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}/statistics") as answer:
            return int(json.load(answer)["CountInstances"])


class Overread(Receiver):
    """`overread listen` with its embedded PostgreSQL."""

    synced = "everything"

    def __init__(self, label: str, folder: Path) -> None:
        super().__init__(label, folder)
        self._environment |= {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(folder),
            "OVERREAD_LISTENER_PORT": str(self.port),
            "OVERREAD_LISTENER_MAX_ASSOCIATIONS": "100",
        }
        self._recorded = 0
        self._seen: set[Path] = set()

    def command(self) -> list[str]:
        """As a user starts it."""
        return [sys.executable, "-m", "overread", "listen"]

    def settle(self, sent: int) -> None:
        """Wait for the importer."""
        self._recorded += sent
        deadline = time.monotonic() + _SETTLE_SECONDS
        with self._database() as database:
            while recorded_count(database) < self._recorded and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    def count(self) -> int:
        """By its rows."""
        with self._database() as database:
            return recorded_count(database)

    def clear(self) -> None:
        """It keeps everything; after a run that was cut off, nobody knows how much that is."""
        self._recorded = self.count()

    def wrong(self, sent: Mapping[str, str]) -> int:
        """By rows and files, byte for byte."""
        with self._database() as database:
            rows = recorded_digests(database)
        files = read_store(self._folder, self._seen)
        return len(files.broken) + sum(
            rows.get(uid) != sha256 or files.digests.get(uid) != [sha256] for uid, sha256 in sent.items()
        )

    @contextlib.contextmanager
    def _database(self) -> Iterator[Database]:
        database = open_database((self._folder / "postgres" / "url").read_text(), "benchmark")
        try:
            yield database
        finally:
            database.close()


def free_port() -> int:
    """A port nobody listens on now, and that the system gives to nobody who connects."""
    while True:
        port = random.randrange(*_PORTS)  # noqa: S311
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
