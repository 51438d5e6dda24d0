"""Reading and writing past the page cache.

What is received is read once more, by the importer, and then as another file: pages in the cache would cost a copy each
way and push out what is of use. Direct transfers need memory, places and lengths that are multiples of a block; a file
system that has no direct transfers gets the same ones through its cache.
"""

import contextlib
import mmap
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOCK = 4096  # bytes; what every disk and file system of today can transfer


@dataclass(frozen=True, slots=True)
class InBlocks:
    """Bytes that begin at a block of some memory, which has the rest of their last block too."""

    memory: memoryview
    size: int

    @property
    def content(self) -> memoryview:
        """The bytes."""
        return self.memory[: self.size]

    @property
    def blocks(self) -> memoryview:
        """The same with the rest of the last block."""
        return self.memory[: whole_blocks(self.size)]


class Blocks:
    """Pieces of memory that begin at a block; each is lent to one thread at a time, and whoever finds none waits."""

    def __init__(self, count: int, size: int) -> None:
        self._size = size
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(aligned_memory(size))

    @contextmanager
    def lent(self, size: int) -> Iterator[memoryview]:
        """Memory for ``size`` bytes at least, with whatever was in it before."""
        if size > self._size:
            yield aligned_memory(size)
            return
        memory = self._free.get()
        try:
            yield memory
        finally:
            self._free.put(memory)


def whole_blocks(size: int) -> int:
    """The size with what is missing to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def direct_flag(folder: Path) -> int:
    """The flag for ``os.open`` that asks for direct transfers, 0 where the file system of a folder has none."""
    path = folder / "direct.probe"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_DIRECT, 0o600)
        try:
            os.pwrite(descriptor, aligned_memory(BLOCK), 0)
        finally:
            os.close(descriptor)
    except OSError:
        return 0
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return os.O_DIRECT


def write_whole(descriptor: int, content: memoryview, offset: int) -> None:
    """Write all of it. Raises OSError."""
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def read_whole(descriptor: int, memory: memoryview, offset: int) -> int:
    """Fill the memory as far as the file reaches, and say how far that was. Raises OSError."""
    reached = 0
    while reached < len(memory):
        read = os.preadv(descriptor, [memory[reached:]], offset + reached)
        reached += read
        if read == 0 or reached % BLOCK:  # the end of the file
            break
    return reached


def aligned_memory(size: int) -> memoryview:
    """Memory of zeros that begins at a block, with room for ``size`` bytes."""
    return memoryview(mmap.mmap(-1, whole_blocks(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
