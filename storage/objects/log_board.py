"""Small shared pages that tell how far a log is written and how far it was imported.

They are a courtesy between living processes and never synced: after a crash the records themselves are asked.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple, Self

_SIZE = 4096
_NUMBER = struct.Struct("<Q")
_ENTRY = struct.Struct("<QQQ")  # segment number, how far it is written, flags
_FINISHED, _FAILED = 1, 2
_ENTRIES = 64
_FIRST_ENTRY = _NUMBER.size
_TOTAL = _FIRST_ENTRY + _ENTRIES * _ENTRY.size  # bytes of all records of this log since the page was made


class WrittenLine(NamedTuple):
    """What a writer says of one segment."""

    written: int  # bytes of whole records
    finished: bool  # no more will come
    failed: bool  # a write or sync did


class _SharedPage:
    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                os.posix_fallocate(descriptor, 0, _SIZE)  # touching a hole on a full disk would kill the process
            self._page = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._page.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WrittenBoard(_SharedPage):
    """Kept by a writer: which segments are its own, and how far each is written."""

    @property
    def first(self) -> int:
        """The number of the first segment of the writer that has, or had last, this log."""
        return int(_NUMBER.unpack_from(self._page, 0)[0])

    def begin(self, first: int) -> None:
        """Say that a new writer begins with this segment."""
        _NUMBER.pack_into(self._page, 0, first)

    def publish(self, number: int, written: int, *, finished: bool, failed: bool = False) -> None:
        """Say how far a segment has whole records, whether more will come, and whether a write failed."""
        flags = (_FINISHED if finished else 0) | (_FAILED if failed else 0)
        _ENTRY.pack_into(self._page, _place(number), number, written, flags)

    def count(self, length: int) -> None:
        """Count the bytes of a record that was written."""
        _NUMBER.pack_into(self._page, _TOTAL, self.total + length)

    @property
    def total(self) -> int:
        """How many bytes of records were counted, by this writer and those before it."""
        return int(_NUMBER.unpack_from(self._page, _TOTAL)[0])

    def read(self, number: int) -> WrittenLine | None:
        """What stands of a segment; ``None`` when its line was used for a later one."""
        held, written, flags = _ENTRY.unpack_from(self._page, _place(number))
        if held > number:
            return None
        if held < number:
            return WrittenLine(0, finished=False, failed=False)
        return WrittenLine(int(written), bool(flags & _FINISHED), bool(flags & _FAILED))


class ImportedBoard(_SharedPage):
    """Kept by the importer: everything before this place has its rows."""

    def publish(self, number: int, offset: int) -> None:
        """Say how far the import has come."""
        struct.pack_into("<QQ", self._page, 0, number, offset)

    def read(self) -> tuple[int, int]:
        """The segment number and the offset in it."""
        number, offset = struct.unpack_from("<QQ", self._page, 0)
        return int(number), int(offset)


def _place(number: int) -> int:
    return _FIRST_ENTRY + number % _ENTRIES * _ENTRY.size
