"""Compiles ``shim.c`` and says how a listener is started with it."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

from overread.errors import TortureFailed

_ANY = 2**64 - 1
_PAGE = 4096


class Shim:
    """A library preloaded into the listener, which records changes below ``disk`` and can fail syncs and writes.

    Raises:
        TortureFailed: there is no compiler.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise TortureFailed("This run needs a C compiler; install gcc (on Debian: apt-get install gcc libc6-dev).")
        self._library = folder / "shim.so"
        source = Path(__file__).with_name("shim.c")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise TortureFailed(f"shim.c could not be compiled: {done.stderr.strip()[:500]}")
        self._control_path = folder / "control"
        self._control_path.write_bytes(bytes(_PAGE))
        with self._control_path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _PAGE)
        self.set()

    def set(self, *, failing_syncs: int = 0, space: int | None = None) -> None:
        """From now on, of a hundred syncs so many fail with EIO, and so many bytes still fit on the disk."""
        self._control[:16] = struct.pack("=QQ", failing_syncs, _ANY if space is None else space)

    def environment(self, disk: Path, record: Path | None = None) -> dict[str, str]:
        """The variables that make a process and its children use it."""
        variables = {
            "LD_PRELOAD": str(self._library),
            "TORTURE_ROOT": str(disk),
            "TORTURE_CONTROL": str(self._control_path),
        }
        return variables | ({"TORTURE_RECORD": str(record)} if record is not None else {})
