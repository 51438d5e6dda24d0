"""How often a login may fail before the next one has to wait (docs/decisions: throttling in memory)."""

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_WINDOW_SECONDS = 15 * 60.0
_PAIR_LIMIT = 10  # of one name from one address
_ADDRESS_LIMIT = 30  # of any names from one address
_NAME_LIMIT = 100  # of one name from anywhere; higher, so that nobody is locked out easily by somebody else
_KEYS_KEPT = 20_000


class Throttle:
    """Counts the attempts of the last quarter of an hour; a successful login takes its own attempt back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._attempts: OrderedDict[bytes, deque[float]] = OrderedDict()

    def admit(self, name: str, address: str) -> float:
        """Count an attempt and return 0, or return how many seconds to wait and count nothing."""
        now = self._now()
        with self._lock:
            kept = [(self._recent(key, now), limit) for key, limit in _keys(name, address)]
            wait = max((past[0] + _WINDOW_SECONDS - now for past, limit in kept if len(past) >= limit), default=0.0)
            if wait <= 0:
                for past, _ in kept:
                    past.append(now)
        return max(wait, 0.0)

    def succeeded(self, name: str, address: str) -> None:
        """Take the latest attempt back, and forget the failures of this name from this address."""
        with self._lock:
            (pair, _), *others = _keys(name, address)
            self._attempts.pop(pair, None)
            for key, _ in others:
                if self._attempts.get(key):
                    self._attempts[key].pop()

    def _recent(self, key: bytes, now: float) -> deque[float]:
        past = self._attempts.setdefault(key, deque())
        self._attempts.move_to_end(key)
        while past and past[0] <= now - _WINDOW_SECONDS:
            past.popleft()
        while len(self._attempts) > _KEYS_KEPT:
            self._attempts.popitem(last=False)
        return past


def _keys(name: str, address: str) -> list[tuple[bytes, int]]:
    """What is counted, and to which limit; as digests, because a name field may hold anything."""
    return [
        (_digest("pair", name, address), _PAIR_LIMIT),
        (_digest("address", address), _ADDRESS_LIMIT),
        (_digest("name", name), _NAME_LIMIT),
    ]


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
