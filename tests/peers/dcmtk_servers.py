"""DCMTK's archives: storescp, which only stores, and dcmqrscp, which can be asked and knows who may."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.free_ports import free_port

_START_SECONDS = 30.0

StartStorescp = Callable[..., tuple[int, Path]]
StartDcmqrscp = Callable[..., int]


@pytest.fixture
def start_storescp() -> Iterator[StartStorescp]:
    """Start storescp; gives its port and the folder that holds what it took, one file an instance."""
    with ExitStack() as stack:

        def start(*options: str) -> tuple[int, Path]:
            folder = _folder(stack)
            port = free_port()
            _run(stack, ["storescp", "--output-directory", str(folder), *options, str(port)], port)
            return port, folder

        yield start


@pytest.fixture
def start_dcmqrscp() -> Iterator[StartDcmqrscp]:
    """Start dcmqrscp, which answers only under its AE title ARCHIVE; gives its port."""
    with ExitStack() as stack:

        def start() -> int:
            folder = _folder(stack)
            port = free_port()
            (folder / "storage").mkdir()
            (folder / "dcmqrscp.cfg").write_text(
                f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
                "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
                f"AETable BEGIN\nARCHIVE {folder}/storage RW (200, 1024mb) ANY\nAETable END\n"
            )
            _run(stack, ["dcmqrscp", "-c", str(folder / "dcmqrscp.cfg")], port)
            return port

        yield start


def _folder(stack: ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dcmtk-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _run(stack: ExitStack, command: Sequence[str], port: int) -> None:
    """Start it, end it with the stack, and return once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, f"{command[0]} has ended"
        assert time.monotonic() < deadline, f"{command[0]} does not listen"
        time.sleep(0.05)
