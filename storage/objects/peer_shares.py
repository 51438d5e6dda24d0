"""How much of what waits came from whom, as far as this process received it."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field

_Place = tuple[int, int]  # segment number and offset, in the order of a log

_TOGETHER = 8 * 1024 * 1024  # bytes that are counted as one, so that a long outage needs little memory


@dataclass(slots=True)
class _Part:
    """Neighbours in the log; they count until the importer has passed the last of them."""

    end: _Place
    size: int = 0
    by_peer: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


class PeerShares:
    """Counts by peer and place in the log: what the importer has left behind counts no more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._parts: deque[_Part] = deque()

    def has_room(self, peer: str, size: int, imported: _Place) -> bool:
        """Whether ``size`` more bytes of this peer may wait; everything before ``imported`` was imported."""
        with self._lock:
            while self._parts and self._parts[0].end <= imported:
                self._parts.popleft()
            return size + sum(part.by_peer.get(peer, 0) for part in self._parts) <= self._limit

    def add(self, peer: str, size: int, end: _Place) -> None:
        """Count what was written into the log up to this place."""
        with self._lock:
            if not self._parts or self._parts[-1].size + size > _TOGETHER:
                self._parts.append(_Part(end))
            part = self._parts[-1]
            part.end = max(part.end, end)
            part.size += size
            part.by_peer[peer] += size
