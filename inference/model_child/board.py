"""A board that the child writes on and the worker reads: memory that both have, so that telling a step costs nothing.

What stands there may be anything, because a child may have been taken over: only words and UIDs are taken from it.
"""

import mmap
import os
import re
from contextlib import suppress

_SIZE = 256
_CONTENT = re.compile(rb"([a-z]{1,16}) ([0-9.]{0,64}) ([0-9.]{0,64})")


class StageBoard:
    """The step of a job, and the series and the instance that it works on."""

    def __init__(self, descriptor: int | None = None) -> None:
        """A new board, or the one behind a descriptor that was inherited."""
        self.descriptor = os.memfd_create("stage") if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, _SIZE)
        self._memory = mmap.mmap(self.descriptor, _SIZE)

    def write(self, step: str, series_instance_uid: str = "", sop_instance_uid: str = "") -> None:
        """Say which step begins, and on what."""
        told = f"{step} {series_instance_uid} {sop_instance_uid}"
        self._memory[:] = told.encode("ascii", "replace")[:_SIZE].ljust(_SIZE, b"\0")

    def read(self) -> tuple[str, str, str]:
        """The step, the series and the instance that were written last; empty where there is none."""
        content = _CONTENT.fullmatch(bytes(self._memory).rstrip(b"\0"))
        return (content[1].decode(), content[2].decode(), content[3].decode()) if content else ("", "", "")

    def clear(self) -> None:
        """Forget the last job."""
        self._memory[:] = bytes(_SIZE)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        with suppress(OSError):
            os.close(self.descriptor)
