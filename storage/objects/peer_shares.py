"""How much of what waits came from whom, as far as this process received it."""

import threading
from collections import defaultdict


class PeerShares:
    """Counts by peer and log segment: what the importer has left behind counts no more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._bytes: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))

    def has_room(self, peer: str, size: int, imported: int) -> bool:
        """Whether ``size`` more bytes of this peer may wait; segments before number ``imported`` were imported."""
        with self._lock:
            for number in [number for number in self._bytes if number < imported]:
                del self._bytes[number]
            return size + sum(by_peer.get(peer, 0) for by_peer in self._bytes.values()) <= self._limit

    def add(self, peer: str, size: int, number: int) -> None:
        """Count what was written into the segment with this number."""
        with self._lock:
            self._bytes[number][peer] += size
