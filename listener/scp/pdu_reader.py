"""Finds PDUs in one buffer that is filled from the network again and again; nothing is copied out of it."""

import contextlib
import math
import mmap
import time
from collections.abc import Callable

from listener.scp.limits import MAXIMUM_PDU, MIB, PDU_DEADLINE, PDU_SLACK
from listener.scp.pdu import HEADER, AbortReason
from listener.scp.transport import Transport

_SIZE = MIB + MIB // 4 + MAXIMUM_PDU + PDU_SLACK + HEADER.size  # what is smaller than 1.25 MiB is never moved


class InvalidPdu(Exception):
    """What came is no PDU that may come here."""

    def __init__(self, reason: AbortReason, sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


class PeerTooSlow(Exception):
    """A deadline has passed."""


class PduReader:
    """Reads PDU after PDU from a transport.

    The buffer is memory of its own that the system provides page by page as it is first written: an association that
    only asks for an echo touches one page, and all of it goes back when the association ends.

    ``spill`` is called before what lies in the buffer is overwritten; ``tick`` now and then while nothing comes.
    """

    def __init__(self, transport: Transport, spill: Callable[[], None], tick: Callable[[], None]) -> None:
        self._receive_into = transport.receive_into
        self._spill = spill
        self._tick = tick
        self._memory = mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._memory)
        self._start = 0  # of what has not been given out yet
        self._end = 0  # of what has come

    def close(self) -> None:
        """Give the memory back now, not when the interpreter next looks for what nobody can reach any more."""
        self.view.release()
        with contextlib.suppress(BufferError):  # somebody refers to a piece of it still
            self._memory.close()

    @property
    def is_empty(self) -> bool:
        """Whether everything that has come was given out."""
        return self._start == self._end

    def rewind(self) -> None:
        """Begin at the front again if nothing waits; for when nobody refers to the buffer any more."""
        if self._start == self._end:
            self._start = self._end = 0

    def next(self, limit: int, patience: float, deadline: float = math.inf) -> tuple[int, int, int]:
        """The next PDU: its type, and where its content starts and ends in ``view``.

        ``patience`` is how many seconds its first byte may take, ``deadline`` when its last must have come.

        Raises:
            InvalidPdu: it claims to be longer than ``limit``; nothing more can be read.
            PeerTooSlow: a deadline has passed.
            PeerGone: the connection is over.
        """
        until = None
        if self._end - self._start < HEADER.size:
            until = self._fill(HEADER.size, patience, deadline)
        kind, length = HEADER.unpack_from(self.view, self._start)
        if length > limit:
            raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "A PDU was longer than allowed.")
        size = HEADER.size + length
        if self._end - self._start < size:
            self._fill(size, PDU_DEADLINE, deadline if until is None else until)
        start = self._start + HEADER.size
        self._start += size
        return kind, start, self._start

    def drain(self, limit: int, deadline: float) -> None:
        """Take what comes and forget it. Raises PeerGone, or PeerTooSlow after ``deadline`` or ``limit`` bytes."""
        self._spill()
        while limit > 0 and time.monotonic() < deadline:
            try:
                limit -= self._receive_into(self.view)
            except TimeoutError:
                self._tick()
        raise PeerTooSlow

    def _fill(self, size: int, patience: float, deadline: float) -> float:
        """Receive until ``size`` bytes are there; return when the last of this PDU must have come."""
        if self._start + size > len(self.view):
            self._move_to_front()
        now, begun = time.monotonic(), self._start < self._end
        until = min(deadline, now + (PDU_DEADLINE if begun else patience))
        while self._end - self._start < size:
            if now > until:
                raise PeerTooSlow
            try:
                self._end += self._receive_into(self.view[self._end :])
            except TimeoutError:
                self._tick()
            now = time.monotonic()
            if not begun and self._start < self._end:
                begun, until = True, min(deadline, now + PDU_DEADLINE)
        return until

    def _move_to_front(self) -> None:
        self._spill()
        waiting = bytes(self.view[self._start : self._end])
        self.view[: len(waiting)] = waiting
        self._start, self._end = 0, len(waiting)
