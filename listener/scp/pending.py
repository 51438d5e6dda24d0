"""Connections that have not been let in yet: few at a time, and the newest is always heard.

Whoever connects and says nothing must not keep others out. So a connection too many is not refused: the one of the same
address, or of the address with the most, that has waited longest is closed for it. An honest peer needs its place for
a moment only.
"""

import threading

from listener.scp.connection import Connection
from listener.scp.limits import PENDING, PENDING_PER_ADDRESS


class PendingConnections:
    """Keeps the connections of one process by address, oldest first."""

    def __init__(self, per_address: int = PENDING_PER_ADDRESS, total: int = PENDING) -> None:
        self._per_address = per_address
        self._total = total
        self._lock = threading.Lock()
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._count = 0
        self.closed = 0  # to make room

    def add(self, connection: Connection) -> None:
        """Count a new connection in."""
        with self._lock:
            queue = self._by_address.setdefault(connection.address, {})
            if len(queue) >= self._per_address:
                self._close_oldest(queue)
            elif self._count >= self._total:
                self._close_oldest(max(self._by_address.values(), key=len))
            queue[connection] = None
            self._count += 1

    def remove(self, connection: Connection) -> None:
        """It was let in or is over; once is enough."""
        with self._lock:
            queue = self._by_address.get(connection.address)
            if queue is None or connection not in queue:
                return
            del queue[connection]
            self._count -= 1
            if not queue:
                del self._by_address[connection.address]

    def _close_oldest(self, queue: dict[Connection, None]) -> None:
        oldest = next(iter(queue))
        del queue[oldest]
        self._count -= 1
        self.closed += 1
        oldest.cut()
