"""Reads the spool's log, from where the import has come to where it is written (docs/decisions/0010)."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from storage.errors import SpoolUnreadable
from storage.objects.direct import BLOCK, InBlocks, read_whole, whole_blocks
from storage.objects.layout import IMPORTED_BOARD, WRITER_LOCK, WRITTEN_BOARD, DataFolder
from storage.objects.log_board import ImportedBoard, WrittenBoard
from storage.objects.log_record import ALIGNMENT, RecordHead, RecordKind, begins_record, decoded, text_of
from storage.objects.log_segment import retire_segment, segment_numbers, segment_path

_SET_ASIDE = 2 * 1024 * 1024  # bytes behind a damaged head; no record is longer


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record; ``kind`` is ``None`` and the manifest empty when its head is damaged.

    The data are the bytes of the object, its prefix of ``prefix_length`` first; with a ``name`` they are in that file.
    """

    path: Path  # of the segment
    number: int
    offset: int
    end: int
    kind: RecordKind | None
    name: str
    manifest: bytes
    prefix_length: int
    data_start: int
    data_length: int

    @property
    def data(self) -> bytes:
        """The data, read now through the cache. Raises SpoolUnreadable, OSError."""
        return bytes(self.data_in(memoryview(bytearray(self.data_length + 2 * BLOCK)), 0).content)

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in its log."""
        return self.number, self.offset

    def data_in(self, memory: memoryview, flags: int) -> InBlocks:
        """The data, read now into memory that has a block to spare; the segment is opened with ``flags``.

        Raises:
            SpoolUnreadable: the disk cannot read them now.
            OSError: the segment cannot be opened.
        """
        before = self.data_start % BLOCK  # not 0 in records of an earlier release
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | flags)
        try:
            with as_unreadable():
                reached = read_whole(
                    descriptor, memory[: whole_blocks(before + self.data_length)], self.data_start - before
                )
        finally:
            os.close(descriptor)
        if reached < before + self.data_length:
            raise SpoolUnreadable
        size = self.data_length
        if before:
            memory[:size] = memory[before : before + size]
        return InBlocks(memory, size)


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    written: int  # whole records up to here, or how far to look for them
    finished: bool
    exact: bool  # the writer says so itself: it is alive, left it not long ago, and no write failed


class LogReader:
    """One log, seen by the importer or by whoever counts what waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = WrittenBoard(folder / WRITTEN_BOARD)
        self._imported = ImportedBoard(folder / IMPORTED_BOARD)

    def close(self) -> None:
        """Give the shared pages back."""
        self._written.close()
        self._imported.close()

    @property
    def position(self) -> tuple[int, int]:
        """Everything before this place was imported."""
        return self._imported.read()

    @property
    def bytes_written(self) -> int:
        """How many bytes were ever written to this log and its files; only the difference of two looks counts."""
        return self._written.total

    def records(self, position: tuple[int, int]) -> Iterator[LogRecord]:
        """What stands in the log from ``position`` on, in the order of arrival."""
        number, offset = position
        for segment in self._segments():
            if segment.number >= number:
                yield from self._records_of(segment, offset if segment.number == number else 0)

    def advance(self, position: tuple[int, int]) -> None:
        """Say that everything before ``position`` was imported, and give up the segments that it leaves behind."""
        position = max(position, self.position)  # another importer may have come further
        self._imported.publish(*position)
        for segment in self._segments():
            if segment.number >= position[0]:
                if not (segment.finished and self._is_read_to_its_end(segment, position)):
                    return
                position = segment.number + 1, 0
                self._imported.publish(*position)
            retire_segment(self.folder, segment.number)

    def _is_read_to_its_end(self, segment: _Segment, position: tuple[int, int]) -> bool:
        offset = position[1] if segment.number == position[0] else 0
        return next(self._records_of(segment, offset), None) is None

    def _segments(self) -> list[_Segment]:
        numbers = segment_numbers(self.folder)  # before the look at the lock: a writer that comes now makes others
        dead = not _is_locked(self.folder)
        first = self._written.first
        found = [self._segment(number, dead=dead or number < first) for number in numbers]
        return [segment for segment in found if segment is not None]

    def _segment(self, number: int, *, dead: bool) -> _Segment | None:
        line = None if dead else self._written.read(number)
        if line is not None:
            return _Segment(number, line.written, line.finished, exact=not line.failed)
        try:
            return _Segment(number, segment_path(self.folder, number).stat().st_size, finished=True, exact=False)
        except FileNotFoundError:  # imported and given up since we listed it
            return None

    def _records_of(self, segment: _Segment, offset: int) -> Iterator[LogRecord]:
        if offset >= segment.written:
            return
        path = segment_path(self.folder, segment.number)
        with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:  # else it was given up since
            yield from _records_in(_Content(file, searched=not segment.exact), path, segment, offset)


def _records_in(content: "_Content", path: Path, segment: _Segment, offset: int) -> Iterator[LogRecord]:
    while offset < segment.written:
        found = _decoded(content, segment.number, offset)
        if found is not None:
            head, name, manifest = found
            end = offset + head.length
            yield LogRecord(
                *(path, segment.number, offset, end, head.kind, name, manifest, head.prefix_length),
                data_start=offset + head.data_start,
                data_length=head.data_length,
            )
            offset = end
            continue
        end = _next_record(content, segment, offset)
        # What a writer says is whole has no gaps; others have some where nothing was written yet.
        if segment.exact or _begins_record(content, segment.number, offset):
            length = min(end - offset, _SET_ASIDE)
            yield LogRecord(
                *(path, segment.number, offset, end, None, "", b"", 0), data_start=offset, data_length=length
            )
        offset = end


@contextmanager
def as_unreadable() -> Iterator[None]:
    """A sector that cannot be read is SpoolUnreadable: it concerns one instance, other errors the disk."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EIO:
            raise SpoolUnreadable from error
        raise


def log_folders(folder: DataFolder) -> list[Path]:
    """The folder of every log of a data folder."""
    return sorted(path for path in folder.logs.iterdir() if path.is_dir())


@dataclass(frozen=True, slots=True)
class SeenWriters:
    """Who had which log at one moment: by log, the first segment of its writer, and whether that one was alive."""

    writers: Mapping[str, tuple[int, bool]]

    def ended(self, owner: str) -> bool:
        """Whether a writer had ended by then; of one that came later nothing is known."""
        log, _, first = owner.partition("-")
        seen, alive = self.writers.get(log, (0, True))
        return int(first) < seen or (int(first) == seen and not alive)


def seen_writers(folder: DataFolder) -> SeenWriters:
    """Look at every log now."""
    return SeenWriters({path.name: _seen_writer(path) for path in log_folders(folder)})


def _seen_writer(folder: Path) -> tuple[int, bool]:
    with WrittenBoard(folder / WRITTEN_BOARD) as board:
        first = board.first  # before the look at the lock: who comes in between makes the one before seem alive
    return first, _is_locked(folder)


def current_owner(folder: Path) -> str | None:
    """The name of the writer that has this log now, ``None`` when nobody has."""
    if not _is_locked(folder):
        return None
    with WrittenBoard(folder / WRITTEN_BOARD) as board:
        return f"{folder.name}-{board.first}"


def owner_is_alive(folder: DataFolder, owner: str) -> bool:
    """Whether the writer with this name still has its log."""
    return current_owner(folder.logs / owner.partition("-")[0]) == owner


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / WRITER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class _Content:
    """A segment read piece by piece, not mapped: a sector that cannot be read must not end the process."""

    def __init__(self, file: FileIO, *, searched: bool) -> None:
        self._descriptor = file.fileno()
        self._size = os.fstat(self._descriptor).st_size
        if not searched:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # only heads are read here

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, piece: slice) -> bytes:
        return os.pread(self._descriptor, max(0, piece.stop - piece.start), piece.start)


def _decoded(content: _Content, number: int, offset: int) -> tuple[RecordHead, str, bytes] | None:
    """Head, name and manifest of the record at ``offset``; ``None`` when there is none, or it cannot be read."""
    try:
        head = decoded(content, number, offset)
        return None if head is None else (head, *text_of(content, offset, head))
    except OSError:
        return None


def _begins_record(content: _Content, number: int, offset: int) -> bool:
    try:
        return begins_record(content, number, offset)
    except OSError:
        return True  # what cannot be read may be one


def _next_record(content: _Content, segment: _Segment, offset: int) -> int:
    """Where a record begins behind a place that has none: a damaged head, or what an earlier use left."""
    for candidate in range(offset + ALIGNMENT, segment.written, ALIGNMENT):
        with contextlib.suppress(OSError):
            if begins_record(content, segment.number, candidate):
                return candidate
    return segment.written
