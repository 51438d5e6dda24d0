"""Appends to the spool's log; one sync makes the records of many threads durable (docs/decisions/0010).

Whoever waits first syncs for all who have written by then; the others wait for it. After a failed sync the segment is
given up: the kernel may have dropped what it could not write, so no descriptor is ever asked twice.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from storage.objects.direct import Blocks, direct_flag, whole_blocks, write_whole
from storage.objects.durable import make_folder
from storage.objects.layout import IMPORTED_BOARD, WRITER_LOCK, WRITTEN_BOARD
from storage.objects.log_board import ImportedBoard, WrittenBoard
from storage.objects.log_record import ALIGNMENT, RecordKind, before_data, encoded, record_length
from storage.objects.log_segment import open_segment, used_numbers

_SLOTS = 1000  # logs beside each other; each process that receives has one
_WRITES = 4  # at the same time; a disk has no use for more, and each has memory of its own
_LONGEST = 1280 * 1024 + 16 * ALIGNMENT  # bytes of a record that this memory is made for; longer ones are rare
_PADDING = bytes(ALIGNMENT)


class _Segment:
    """A segment that is being written; ``written`` and ``synced`` count records, in the order of their ends."""

    def __init__(self, number: int, descriptor: int, size: int) -> None:
        self.number = number
        self.descriptor = descriptor
        self.size = size
        self.end = 0
        self.in_flight: set[int] = set()  # offsets of records that are being written
        self.written = 0
        self.synced = 0
        self.syncing = False
        self.failed = False
        self.left = False  # nothing is appended any more
        self.waiting = 0  # records that are to be committed and are not yet

    @property
    def whole(self) -> int:
        """Up to here every record is whole."""
        return min(self.in_flight, default=self.end)


class Ticket:
    """Where a record stands, and what has to be synced before it is durable."""

    __slots__ = ("end", "number", "offset", "segment", "written")

    def __init__(self, segment: _Segment, offset: int, length: int) -> None:
        self.segment = segment
        self.number = segment.number
        self.offset = offset
        self.end = segment.number, offset + length
        self.written = 0


class LogWriter:
    """One writer of the log; any number of threads may share it, but never two processes."""

    def __init__(self, logs: Path, gather_seconds: float = 0.0) -> None:
        self._gather_seconds = gather_seconds
        self._folder, self._lock_descriptor = _free_slot(logs)
        self._board = WrittenBoard(self._folder / WRITTEN_BOARD)
        self._imported = ImportedBoard(self._folder / IMPORTED_BOARD)
        self._flags = os.O_RDWR | os.O_CLOEXEC | direct_flag(self._folder)
        self._blocks = Blocks(_WRITES, _LONGEST)
        self._changed = threading.Condition()
        self._segment: _Segment | None = None
        self._next = max([0, self._board.first, self._imported.read()[0], *used_numbers(self._folder)]) + 1
        self._board.begin(self._next)
        self._pid = os.getpid()
        self.owner = f"{self._folder.name}-{self._next}"

    def close(self) -> None:
        """Stop; what was written is the importer's."""
        with self._changed:
            self._leave()
        self._board.close()
        self._imported.close()
        os.close(self._lock_descriptor)

    def append(
        self,
        kind: RecordKind,
        manifest: bytes,
        pieces: Sequence[bytes | memoryview] = (),
        *,
        prefix_length: int = 0,
        name: str = "",
    ) -> Ticket:
        """Write one record, which ``commit`` must make durable then.

        Raises:
            OSError: it could not be written; nothing of it counts.
        """
        return self._append(kind, manifest, pieces, prefix_length, name, to_commit=True)

    def append_note(self, kind: RecordKind, manifest: bytes) -> None:
        """Write a record that nobody waits for: a crash of this process spares it, a power cut may not.

        Raises:
            OSError: it could not be written.
        """
        self._append(kind, manifest, (), 0, "", to_commit=False)

    def commit(self, ticket: Ticket) -> None:
        """Return once the record is on stable storage.

        Raises:
            OSError: the sync failed, this one or one that this record needed.
        """
        segment = ticket.segment
        with self._changed:
            try:
                while segment.syncing and segment.synced < ticket.written and not segment.failed:
                    self._changed.wait()
                if segment.failed:
                    raise OSError("a sync of this segment failed")
                if segment.synced >= ticket.written:
                    return
                segment.syncing = True
            finally:
                segment.waiting -= 1
                self._close_if_idle(segment)
        self._sync(segment)

    def count_beside(self, size: int) -> None:
        """Count bytes that came into a file of their own: they keep the machine as busy as those in the log."""
        with self._changed:
            self._board.count(size)

    @property
    def imported(self) -> tuple[int, int]:
        """Segment number and offset that the importer has come to."""
        return self._imported.read()

    def is_pending(self, ticket: Ticket) -> bool:
        """Whether the importer has not come so far yet."""
        return (ticket.number, ticket.offset) >= self._imported.read()

    def _append(
        self,
        kind: RecordKind,
        manifest: bytes,
        pieces: Sequence[bytes | memoryview],
        prefix_length: int,
        name: str,
        *,
        to_commit: bool,
    ) -> Ticket:
        data_length = sum(map(len, pieces))
        encoded_name = name.encode("ascii")
        if pieces:
            manifest = before_data(encoded_name, manifest)
        length = record_length(encoded_name, manifest, data_length)
        with self._blocks.lent(length) as memory:
            _fill(memory, length, pieces, data_length)
            with self._changed:
                segment = self._segment_with_room(length)
                ticket = Ticket(segment, segment.end, length)
                segment.end += length
                segment.in_flight.add(ticket.offset)
            try:
                head = encoded(kind, encoded_name, manifest, prefix_length, data_length, segment.number, ticket.offset)
                memory[: len(head)] = head
                write_whole(segment.descriptor, memory[:length], ticket.offset)
            except BaseException:
                with self._changed:
                    _give_up(segment)
                    self._end_of_write(ticket)
                raise
        with self._changed:
            segment.waiting += to_commit
            self._end_of_write(ticket)
        return ticket

    def _sync(self, segment: _Segment) -> None:
        """Sync what all threads have written until now, and wake those that wait for it."""
        if self._gather_seconds:
            time.sleep(self._gather_seconds)
        with self._changed:
            target = segment.written
        try:
            os.fdatasync(segment.descriptor)
        except OSError:
            with self._changed:
                _give_up(segment)
                if segment is self._segment:
                    self._leave()
            raise
        else:
            with self._changed:
                segment.synced = max(segment.synced, target)
        finally:
            with self._changed:
                segment.syncing = False
                self._close_if_idle(segment)
                self._changed.notify_all()

    def _segment_with_room(self, length: int) -> _Segment:
        if os.getpid() != self._pid:
            raise RuntimeError("A log was opened by one process and written by another.")
        segment = self._segment
        if segment is not None and not segment.failed and segment.end + length <= segment.size:
            return segment
        self._leave()
        number, self._next = self._next, self._next + 1
        # Before the file is there: the importer gives a segment up as soon as it is said to be finished.
        self._board.publish(number, 0, finished=False)
        try:
            descriptor, size = open_segment(self._folder, number, whole_blocks(length), self._flags)
        except OSError:
            self._board.publish(number, 0, finished=True)
            raise
        self._segment = _Segment(number, descriptor, size)
        return self._segment

    def _leave(self) -> None:
        """Append no more to the segment; it ends when its last write and sync have."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.left = True
            self._publish(segment)
            self._close_if_idle(segment)

    def _end_of_write(self, ticket: Ticket) -> None:
        segment = ticket.segment
        segment.in_flight.discard(ticket.offset)
        segment.written += 1
        ticket.written = segment.written
        self._board.count(ticket.end[1] - ticket.offset)
        self._publish(segment)
        self._close_if_idle(segment)

    def _publish(self, segment: _Segment) -> None:
        finished = segment.left and not segment.in_flight
        self._board.publish(segment.number, segment.whole, finished=finished, failed=segment.failed)

    def _close_if_idle(self, segment: _Segment) -> None:
        if segment.left and not (segment.in_flight or segment.syncing or segment.waiting):
            if segment.descriptor >= 0:
                os.close(segment.descriptor)
            segment.descriptor = -1


def _give_up(segment: _Segment) -> None:
    """Nothing in it is promised any more, and another length keeps the file from being used again."""
    segment.failed = True
    with contextlib.suppress(OSError):
        os.ftruncate(segment.descriptor, segment.size + ALIGNMENT)


def _free_slot(logs: Path) -> tuple[Path, int]:
    for number in range(_SLOTS):
        folder = logs / f"{number:03d}"
        make_folder(folder)
        descriptor = os.open(folder / WRITER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return folder, descriptor
    raise OSError("every log of the spool has a writer")


def _fill(memory: memoryview, length: int, pieces: Sequence[bytes | memoryview], data_length: int) -> None:
    """Put the data where a record of this length has it; what is between is nobody's data."""
    memory[length - ALIGNMENT : length] = _PADDING
    place = length - whole_blocks(data_length)
    for piece in pieces:
        memory[place : place + len(piece)] = piece
        place += len(piece)
