"""What the jobs of one process use one after the other: its device, and the loading of algorithms."""

import threading
from types import TracebackType

from inference.stages import waiting


class Turn:
    """A block that one job enters at a time; the others say that they wait. Not to be entered twice by one job."""

    def __init__(self) -> None:
        self._taken = threading.Lock()

    def __enter__(self) -> None:
        if not self._taken.acquire(blocking=False):
            with waiting():
                self._taken.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken.release()


# One network at a time: two would take twice the memory, and neither would be done sooner.
DEVICE = Turn()
