"""One command at a time for a folder that commands write."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from overread.errors import FrontDeskError


class TargetInUse(FrontDeskError):
    """Another command writes the same folder; wait until it has ended, then run this again."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other commands from writing the folder, which need not be there yet, for as long as the block.

    The lock is held on a hidden file beside the folder, which is made where it is not there. The system lets go of it
    however the process ends; what a killed one leaves of the file stops nobody.

    Raises:
        TargetInUse: another process, or another part of this one, writes it.
        OSError: the file cannot be made.
    """
    place = folder.absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.parent / f".{place.name}.writing"
    lock = _locked(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _locked(path: Path, folder: Path) -> int:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise TargetInUse(
                f"Another command writes {folder} at this moment; wait until it has ended, then run this again."
            ) from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)  # who had it before has just removed the file
