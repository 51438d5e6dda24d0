"""Signs of life: a role leaves one in ``run_dir`` each time its loop goes round, `overread health` reads it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from overread.errors import InvalidSettings

SILENCE_SECONDS = 60.0  # the longest that a loop which goes round may need for one turn
_EVERY_SECONDS = 1.0
_DIGITS = 20
_SUFFIX = ".alive"


def pulse(run_dir: str, role: str) -> Callable[[], None]:
    """A function that leaves the role's sign of life, at most once a second; without ``run_dir`` it does nothing.

    The sign is a reading of the clock that nobody can set, which all processes of one machine share. It takes
    the place of the last one: the file always has the same length.

    Raises:
        InvalidSettings: the folder cannot be written.
    """
    if not run_dir:
        return lambda: None
    path = Path(run_dir) / f"{role}{_SUFFIX}"
    try:
        sign = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InvalidSettings(
            f"The folder {run_dir} cannot be written ({error.strerror}); set run_dir to one that exists, or to nothing."
        ) from None
    last = -_EVERY_SECONDS

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY_SECONDS:
            last = now
            os.pwrite(sign, f"{now:.3f}".zfill(_DIGITS).encode(), 0)

    beat()
    return beat


def silence(run_dir: str) -> dict[str, float]:
    """The seconds since each role of this machine left a sign; infinite where it is not a time of this boot."""
    return {path.name.removesuffix(_SUFFIX): _age(path) for path in sorted(Path(run_dir).glob(f"*{_SUFFIX}"))}


def _age(path: Path) -> float:
    try:
        age = time.monotonic() - float(path.read_text())
    except (OSError, ValueError):
        return float("inf")
    return age if age >= 0 else float("inf")
