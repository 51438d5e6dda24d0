"""How much waits in the spool, known without walking the folder for each instance."""

import contextlib
import os
import threading
import time
from dataclasses import dataclass

from storage.errors import SpoolFull
from storage.objects.layout import DataFolder
from storage.objects.log_reader import LogReader, log_folders
from storage.objects.log_record import RecordKind
from storage.settings import SpoolSettings

_WALK_EVERY = 5.0  # seconds; other processes add and the importer removes meanwhile
_WALK_BEFORE_REFUSING = 1.0  # seconds; a refusal may rest on a count this old
_WALK_SHARE = 20  # a walk that took t seconds is not repeated for at least 20 t


@dataclass(frozen=True, slots=True)
class SpoolUsage:
    """What waits in the spool: acknowledged instances without rows, and the bytes of their files."""

    entries: int
    bytes: int


def spool_usage(folder: DataFolder) -> SpoolUsage:
    """Count by reading the heads of what waits; takes about a second for 300,000 entries. Raises OSError."""
    entries = total = 0
    for path in log_folders(folder):
        reader = LogReader(path)
        for record in reader.records(reader.position):
            entries += record.kind is RecordKind.INSTANCE
            total += record.end - record.offset
        reader.close()
    with os.scandir(folder.large) as items:
        for item in items:
            with contextlib.suppress(FileNotFoundError):  # imported while we looked
                total += item.stat(follow_symlinks=False).st_size
    return SpoolUsage(entries, total)


class SpoolCapacity:
    """Says whether more fits: the cap for what waits, the watermark for what the disk has left.

    The count is our own writes added to the last walk, so several processes may together pass the cap by what
    they write between two walks.
    """

    def __init__(self, folder: DataFolder, settings: SpoolSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._lock = threading.Lock()
        self._bytes = 0
        self._walked_at = float("-inf")
        self._walk_took = 0.0

    def reserve(self, size: int) -> None:
        """Count ``size`` more bytes in.

        Raises:
            SpoolFull: they do not fit; nothing was counted.
        """
        self.require_free_space(size)
        with self._lock:
            self._walk_if_older_than(_WALK_EVERY)
            if self._bytes + size > self._settings.cap_bytes:
                self._walk_if_older_than(_WALK_BEFORE_REFUSING)
            if self._bytes + size > self._settings.cap_bytes:
                raise SpoolFull()
            self._bytes += size

    def give_back(self, size: int) -> None:
        """Uncount bytes that were not kept after all."""
        with self._lock:
            self._bytes -= size

    def require_free_space(self, size: int) -> None:
        """Raise SpoolFull when writing ``size`` bytes would leave the disk below its watermark."""
        disk = os.statvfs(self._folder.logs)
        if disk.f_bavail * disk.f_frsize - size < self._settings.min_free_bytes:
            raise SpoolFull()

    def _walk_if_older_than(self, seconds: float) -> None:
        age = time.monotonic() - self._walked_at
        if age < max(seconds, _WALK_SHARE * self._walk_took):
            return
        started = time.monotonic()
        self._bytes = spool_usage(self._folder).bytes
        self._walked_at = time.monotonic()
        self._walk_took = self._walked_at - started
