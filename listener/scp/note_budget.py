"""How many notes strangers may cause: a flood of refusals must not become a flood of rows."""

import threading
import time

_EACH_SECOND = 10.0
_AT_ONCE = 100.0


class NoteBudget:
    """Lets so many notes through, and counts those it does not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = _AT_ONCE
        self._at = time.monotonic()
        self._unsaid = 0

    def spend(self) -> int | None:
        """``None`` when the note is one too many; else how many were before it."""
        with self._lock:
            now = time.monotonic()
            self._left = min(_AT_ONCE, self._left + (now - self._at) * _EACH_SECOND)
            self._at = now
            if self._left < 1:
                self._unsaid += 1
                return None
            self._left -= 1
            unsaid, self._unsaid = self._unsaid, 0
            return unsaid
