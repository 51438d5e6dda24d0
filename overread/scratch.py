"""Folders that are gone afterwards: when their block ends or, if its process was killed, when the next one begins."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"
_OLD_S = 86_400  # a folder without a lock is one that is being made, or one that an older release left


@contextmanager
def scratch_folder(root: Path, prefix: str) -> Iterator[Path]:
    """A folder in ``root`` for the block; those of the same prefix whose processes have died are removed first.

    ``root`` is made where it is not there.

    Who uses one holds a lock on the file ``lock`` in it, which the system lets go however the process ends.

    Raises:
        OSError: it cannot be made, as on a full disk; nothing of it stays.
    """
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root, prefix)
    folder, lock = _made(root, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(root: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)  # another process took it for abandoned before it was locked


def _remove_abandoned(root: Path, prefix: str) -> None:
    for folder in root.glob(f"{prefix}*"):
        try:
            if not (folder / _LOCK).exists():
                if time.time() - folder.lstat().st_mtime > _OLD_S:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:  # it has gone meanwhile, or is another account's
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # in use
        finally:
            os.close(lock)
