"""Making bytes and names survive a power cut.

A file is durable when its data was synced *and* the folder that names it was synced afterwards. After a failed sync
the kernel may have thrown the unwritten pages away and call a second sync a success, so nothing here ever tries one
descriptor twice: the file is dropped and the error goes to the caller.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.objects.direct import InBlocks, write_whole

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


def write_new(path: Path, *chunks: bytes | memoryview) -> None:
    """Write a new file and sync its data; its name is durable once the folder is synced too.

    Raises:
        OSError: the file exists, or a write or the sync failed; then no file is left under this name.
    """
    write_new_pieces(path, chunks)


def write_new_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """The same, taking a piece when the one before it is written."""
    with _new(path, 0) as descriptor:
        for piece in pieces:
            _write_all(descriptor, piece)


def write_new_blocks(path: Path, part: InBlocks, direct: int) -> None:
    """The same with the flag of ``storage.objects.direct.direct_flag``."""
    with _new(path, direct) as descriptor:
        write_whole(descriptor, part.blocks, 0)
        os.ftruncate(descriptor, part.size)


@contextmanager
def _new(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, _FILE_MODE)
    try:
        try:
            yield descriptor
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        remove(path)
        raise


def _write_all(descriptor: int, chunk: bytes | memoryview) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in several folders durable, each folder once. Raises OSError."""
    for folder in sorted(set(folders)):
        sync_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder that only we can read, with its missing parents, durably; an existing one is left as it is."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=_FOLDER_MODE)
    sync_folder(folder.parent)


def remove(path: Path) -> None:
    """Remove a name if it is there; a leftover that cannot be removed is swept at the next start."""
    with contextlib.suppress(OSError):
        path.unlink()


def rest_of(pieces: Sequence[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """What is left of some pieces once so many bytes of them are written."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []
