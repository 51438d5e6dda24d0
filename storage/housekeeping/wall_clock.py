"""A wall clock that may be set while we run: duties come by it, and neither stop nor pile up when it jumps."""

import time
from datetime import datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

_NO_JUMP_SECONDS = 0.5  # more than reading two clocks takes, less than anybody waits for


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires so many seconds from now, whatever was missed.

    The usual trigger counts every time that it missed, one by one: for minutes, after a clock that was a year behind
    was set right.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """See ``BaseTrigger``."""
        return now + self._interval


class WallClock:
    """Tells when the wall clock was set, by a clock that nobody can set."""

    def __init__(self) -> None:
        self._ahead = self._now_ahead()

    def has_jumped(self) -> bool:
        """Whether it was set since this was last asked; a duty that is due at a time of before would wait for that."""
        ahead = self._now_ahead()
        jumped = abs(ahead - self._ahead) > _NO_JUMP_SECONDS
        self._ahead = ahead
        return jumped

    @staticmethod
    def _now_ahead() -> float:
        return time.time() - time.monotonic()
