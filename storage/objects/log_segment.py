"""One file of the spool's log: taken from those that were imported, or made new at its full size."""

import errno
import os
from pathlib import Path

from storage.objects.durable import remove, sync_folder
from storage.objects.log_record import ALIGNMENT

SEGMENT_BYTES = 32 * 1024 * 1024
SPARE_SEGMENTS = 16  # kept for use again: overwriting blocks that the disk knows is twice as fast as adding new ones

_SUFFIX = ".seg"
_SPARE = "spare-"


def segment_path(folder: Path, number: int) -> Path:
    """The file of the segment with this number."""
    return folder / f"{number:016d}{_SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """The segments that hold something, or may; oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"[0-9]*{_SUFFIX}"))


def used_numbers(folder: Path) -> list[int]:
    """Every number that a segment here has, or had: what was written under one must not be read under it again."""
    return [*segment_numbers(folder), *(int(path.name.removeprefix(_SPARE)) for path in folder.glob(f"{_SPARE}*"))]


def open_segment(folder: Path, number: int, at_least: int, flags: int) -> tuple[int, int]:
    """Open a segment with these flags, durably named; return its descriptor and size.

    Raises:
        OSError: there is no room for it, or its name could not be made durable.
    """
    path = segment_path(folder, number)
    for spare in sorted(folder.glob(f"{_SPARE}*")):
        if spare.stat().st_size >= at_least:
            spare.rename(path)
            break
    else:
        _make(path, at_least)
    descriptor = os.open(path, flags)
    try:
        sync_folder(folder)
        return descriptor, os.fstat(descriptor).st_size
    except OSError:
        os.close(descriptor)
        raise


def retire_segment(folder: Path, number: int) -> None:
    """Give up a segment whose records all have their rows: keep it for use again, or remove it."""
    path = segment_path(folder, number)
    if len(list(folder.glob(f"{_SPARE}*"))) < SPARE_SEGMENTS and path.stat().st_size == SEGMENT_BYTES:
        path.rename(folder / f"{_SPARE}{number:016d}")
    else:
        remove(path)


def remove_spares(folder: Path) -> None:
    """Give the disk back what a log without a writer keeps for use again."""
    for spare in folder.glob(f"{_SPARE}*"):
        remove(spare)


def _make(path: Path, at_least: int) -> None:
    """Make the file with all its blocks, so that writing into it never lacks room; a small disk gets a small one."""
    for size in (SEGMENT_BYTES, -(-at_least // ALIGNMENT) * ALIGNMENT):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, max(size, at_least))
            os.fsync(descriptor)
        except OSError as error:
            remove(path)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or size != SEGMENT_BYTES:
                raise
        else:
            return
        finally:
            os.close(descriptor)
