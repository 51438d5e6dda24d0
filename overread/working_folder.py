"""A folder for the files of one command, gone with it; what killed commands left behind goes with the next."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


@contextmanager
def working_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder ``prefix…`` in ``parent``, which is made where it is not there.

    The process holds a lock on it that ends with the process however that ends, so the folders of others that nobody
    holds any more are removed first.

    Raises:
        OSError: it cannot be made, as on a full disk; nothing of it stays.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with _locked(parent):
        _remove_forsaken(parent, prefix)
        folder = Path(mkdtemp(dir=parent, prefix=prefix))
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_forsaken(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # another command works in it
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
