"""The file of an instance that is too large for the log, written past the page cache while it arrives."""

import os
from collections.abc import Sequence
from pathlib import Path

from storage.objects.direct import aligned_memory, whole_blocks, write_whole

_GATHERED = 1024 * 1024  # bytes that are written together
_MODE = 0o600


class LargeFile:
    """A new file that grows at its end; every method may raise OSError, and then the file is to be dropped."""

    def __init__(self, path: Path, flags: int) -> None:
        """Make it, with the flag of ``storage.objects.direct.direct_flag``."""
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, _MODE)
        self._memory = aligned_memory(_GATHERED)
        self._gathered = 0
        self._written = 0  # bytes, whole blocks

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Take the pieces; all but the last megabyte go to the disk."""
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                part = rest[: _GATHERED - self._gathered]
                self._memory[self._gathered : self._gathered + len(part)] = part
                self._gathered += len(part)
                rest = rest[len(part) :]
                if self._gathered == _GATHERED:
                    self._flush()

    def read(self, size: int, offset: int) -> bytes:
        """What was taken, whether or not it is on the disk yet."""
        gathered = self._memory[max(0, offset - self._written) : self._gathered]
        if offset >= self._written:
            return bytes(gathered[:size])
        with self.path.open("rb", buffering=0) as file:
            return (os.pread(file.fileno(), min(size, self._written - offset), offset) + gathered)[:size]

    def finish(self) -> None:
        """Make the bytes durable and close the file; its name is durable once the folder is synced."""
        size = self._written + self._gathered
        end = whole_blocks(self._gathered)
        self._memory[self._gathered : end] = bytes(end - self._gathered)
        self._gathered = end
        self._flush()
        os.ftruncate(self._descriptor, size)
        os.fdatasync(self._descriptor)
        self.close()

    def close(self) -> None:
        """Close it, whatever is missing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        write_whole(self._descriptor, self._memory[: self._gathered], self._written)
        self._written += self._gathered
        self._gathered = 0
