"""How much one account may have set aside: it is kept for an operator, who cannot look at millions."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from listener.errors import ListenerError

_WINDOW_SECONDS = 3600.0
_ACCOUNTS_KEPT = 1000


class AllowanceSpent(ListenerError):
    """So many of the account's instances were refused in the last hour that no more are taken; repair them first."""

    def __init__(self, seconds: float) -> None:
        self.seconds = int(seconds) + 1
        super().__init__()


class SetAsideAllowance:
    """Counts what was set aside in the last hour, by account, in this process."""

    def __init__(self, objects: int = 1000, size: int = 16 * 2**30, now: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._size = size
        self._now = now
        self._lock = threading.Lock()
        self._spent: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    def require(self, account: str) -> None:
        """Raises AllowanceSpent: the account must wait."""
        with self._lock:
            past = self._recent(account)
            if len(past) >= self._objects or sum(size for _, size in past) >= self._size:
                raise AllowanceSpent(past[0][0] + _WINDOW_SECONDS - self._now())

    def spend(self, account: str, size: int) -> None:
        """Count one object of so many bytes."""
        with self._lock:
            self._recent(account).append((self._now(), size))

    def _recent(self, account: str) -> deque[tuple[float, int]]:
        past = self._spent.setdefault(account, deque())
        self._spent.move_to_end(account)
        while past and past[0][0] <= self._now() - _WINDOW_SECONDS:
            past.popleft()
        while len(self._spent) > _ACCOUNTS_KEPT:
            self._spent.popitem(last=False)
        return past
