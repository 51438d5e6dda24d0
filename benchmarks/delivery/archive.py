"""The archive of the benchmark: DCMTK's storescp, which writes what it takes and syncs nothing."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.free_ports import free_port

_START_SECONDS = 30.0


@dataclass(frozen=True)
class Archive:
    """A running one."""

    port: int
    folder: Path

    def empty(self) -> None:
        """Forget what was taken."""
        for path in self.folder.iterdir():
            path.unlink()

    def kept(self) -> int:
        """How many objects it has."""
        return sum(1 for _ in self.folder.iterdir())


def without_nagle(nagle: bool) -> dict[str, str]:
    """The environment in which DCMTK's programs send what they have at once, or as they are installed."""
    return dict(os.environ) | {"TCP_NODELAY": "0" if nagle else "1"}


@contextmanager
def archive(nagle: bool) -> Iterator[Archive]:
    """A process for each association, as many archives work; with ``nagle`` answers wait, as it is installed."""
    folder, port = Path(tempfile.mkdtemp(prefix="overread-bench-archive-")), free_port()
    command = ["storescp", "--fork", "--bit-preserving", "--output-directory", str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=without_nagle(nagle))
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > deadline:
                raise RuntimeError("storescp does not listen; is DCMTK installed?")
            time.sleep(0.05)
        yield Archive(port, folder)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
