"""How many associations are open, counted by all processes that serve one port, in memory that they share.

Each process writes its own part only, so none has to wait for another, and what a killed one held is wiped in one go.
"""

import hashlib
import mmap
import threading
import time

_WORD = 8  # bytes of a digest of an address, and of a time


class SharedSeats:
    """The memory; made before the processes are."""

    def __init__(self, processes: int, most: int) -> None:
        """Make room for ``most`` associations in each of so many processes."""
        self.most = most
        self._words = 1 + most  # of each process: when it was last alive, then its associations
        self._map = mmap.mmap(-1, processes * self._words * _WORD)  # shared with every process forked from here on
        self._all = memoryview(self._map).cast("Q")
        self._processes = processes

    def part(self, process: int) -> memoryview:
        """The words that one process writes."""
        return self._all[process * self._words : (process + 1) * self._words]

    def wipe(self, process: int) -> None:
        """Nobody sits there any more."""
        self.part(process)[:] = memoryview(bytes(self._words * _WORD)).cast("Q")

    def counts(self, key: int) -> tuple[int, int]:
        """How many associations are open in all processes, and how many of them have this key."""
        taken = [word for process in range(self._processes) for word in self.part(process)[1:].tolist() if word]
        return len(taken), taken.count(key)

    def longest_silence(self) -> float:
        """Seconds since the process that was alive least lately was."""
        return time.monotonic() - min(self.part(process)[0] for process in range(self._processes)) / 1000


class Seats:
    """The part of one process."""

    def __init__(self, shared: SharedSeats, process: int = 0) -> None:
        self._shared = shared
        self._part = shared.part(process)
        self._lock = threading.Lock()
        self._free = list(range(shared.most, 0, -1))
        self.beat()

    def beat(self) -> None:
        """This process is alive."""
        self._part[0] = int(time.monotonic() * 1000)

    def take(self, address: str) -> tuple[int, int, int]:
        """Sit down: the seat, 0 when there is none, how many others sit, and how many of them at this address.

        Whoever finds that there are too many gets up again. Two who sit down at the same moment may both do so, but
        there are never too many.
        """
        key = _key(address)
        with self._lock:
            seat = self._free.pop() if self._free else 0
            if seat:
                self._part[seat] = key
        total, same = self._shared.counts(key)
        return (seat, total - 1, same - 1) if seat else (0, total, same)

    def leave(self, seat: int) -> None:
        """Get up; nothing happens for seat 0."""
        if seat:
            with self._lock:
                self._part[seat] = 0
                self._free.append(seat)

    @property
    def taken(self) -> int:
        """How many sit in this process."""
        return self._shared.most - len(self._free)


def _key(address: str) -> int:
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=_WORD).digest(), "little") or 1
