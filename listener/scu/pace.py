"""No faster than a destination is to be sent to, over all associations to it of this process."""

import threading
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.2
_MIB = 2**20


class Pace:
    """Objects and MiB per second; 0: no limit. Each object takes its time from when the one before it has had its own.

    ``now`` is a clock that only goes forward, ``sleep`` waits by it, both in seconds.
    """

    def __init__(
        self,
        objects_per_second: float = 0.0,
        mib_per_second: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects_per_second = objects_per_second
        self._mib_per_second = mib_per_second
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take_turn(self, size: int, objects: int = 1) -> float:
        """Stand in line with so many ``objects`` of ``size`` bytes in all; how long until their turn, in seconds."""
        with self._lock:
            now = self._now()
            turn = max(now, self._free_at)
            self._free_at = turn + self._seconds(size, objects)
            return turn - now

    def wait(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Return after so long, or once ``stopped`` says so."""
        until = self._now() + seconds
        while (left := until - self._now()) > 0 and not stopped():
            self._sleep(min(left, _LOOK_SECONDS))

    def _seconds(self, size: int, objects: int) -> float:
        by_count = objects / self._objects_per_second if self._objects_per_second else 0.0
        by_size = size / (self._mib_per_second * _MIB) if self._mib_per_second else 0.0
        return max(by_count, by_size)
