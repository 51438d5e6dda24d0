"""Which process has a SOP Instance UID while its instance has no object yet.

A table in a file that all processes have open: a claim costs a lock, a read and a write of what the page cache has. (A
name in a folder would be as exclusive, but making and removing thousands of small files a second has a file system
search for free ones. A mapping of the file would kill the process that touches a hole of it on a full disk.) Claims are
never synced: after a crash the records of the log are the truth, and the importer removes what is left of claims.
"""

import fcntl
import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from storage.errors import SpoolFull
from storage.objects.layout import DataFolder

_ENTRY = struct.Struct("<BBHI16s32sQ")  # used, durable, writers, checksum, key, digest, owner
_FLAGS = struct.Struct("<BBH")
_FACTS = struct.Struct("<16s32sQ")
_IN_BUCKET = 64
_BUCKET_BYTES = _IN_BUCKET * _ENTRY.size
_BUCKETS = 16384  # a million claims at most; an even spread fills one bucket when about 600,000 instances wait
_TABLE_BYTES = _BUCKETS * _BUCKET_BYTES  # a file with holes: what was never used takes no room
_FREE = bytes(_ENTRY.size)
_FLOCK = struct.Struct("hh4xqqi4x")  # struct flock of Linux on 64-bit machines
_OWNER_BITS = 48


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a UID is, and the fingerprint of the bytes it was claimed for, as hexadecimal text."""

    fingerprint: str
    owner: str
    durable: bool = False  # whether a record of these bytes was synced; until then it may still be given back


class Claims:
    """The claims of one data folder; threads may share an object, each process has its own."""

    def __init__(self, folder: DataFolder) -> None:
        self._descriptor = os.open(folder.claims, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._descriptor).st_size < _TABLE_BYTES:
            os.ftruncate(self._descriptor, _TABLE_BYTES)
        self._threads = threading.Lock()

    def close(self) -> None:
        """Give the table back."""
        os.close(self._descriptor)

    def take(self, sop_instance_uid: str, claim: Claim) -> Claim | None:
        """Claim a UID; the claim that stands in the way, or ``None`` when it is ours now.

        Whoever claims the same bytes while none of them are durable yet shares the claim: it lasts until the last one
        has given it back, or one has made it durable.

        Raises:
            SpoolFull: more instances wait than the table has room for.
            OSError: the disk is full, or cannot be written; nothing is claimed.
        """
        key = _key(sop_instance_uid)
        with self._locked(key) as start:
            held = self._find(start, key)
            writers = 0
            if held is not None:
                place, standing = held
                if standing.durable or standing.fingerprint != claim.fingerprint:
                    return standing
                _, _, writers = _FLAGS.unpack(self._read(place, _FLAGS.size))
            else:
                place = self._free_place(start)
            facts = _FACTS.pack(key, bytes.fromhex(claim.fingerprint), _owner_number(claim.owner))
            head = _FLAGS.pack(1, 0, writers + 1) + struct.pack("<I", zlib.crc32(facts))
            self._write(place, head + facts)
        return None

    def confirm(self, sop_instance_uid: str, fingerprint: str) -> None:
        """Say that a record of these bytes is durable: from now on the claim stands until the import."""
        key = _key(sop_instance_uid)
        with self._locked(key) as start:
            held = self._find(start, key)
            if held is not None and held[1].fingerprint == fingerprint:
                self._write(held[0], _FLAGS.pack(1, 1, 0))

    def holder(self, sop_instance_uid: str) -> Claim | None:
        """Who has a UID."""
        key = _key(sop_instance_uid)
        with self._locked(key) as start:
            held = self._find(start, key)
        return None if held is None else held[1]

    def give_back(self, sop_instance_uid: str, fingerprint: str) -> None:
        """Take one's part in a claim back; it is gone with the last one, unless somebody made it durable."""
        key = _key(sop_instance_uid)
        with self._locked(key) as start:
            held = self._find(start, key)
            if held is None or held[1].fingerprint != fingerprint or held[1].durable:
                return
            _, _, writers = _FLAGS.unpack(self._read(held[0], _FLAGS.size))
            if writers > 1:
                self._write(held[0], _FLAGS.pack(1, 0, writers - 1))
            else:
                self._write(held[0], _FREE)

    def end(self, sop_instance_uid: str, fingerprint: str) -> None:
        """Remove the claim for these bytes: they have their object, or were set aside."""
        key = _key(sop_instance_uid)
        with self._locked(key) as start:
            held = self._find(start, key)
            if held is not None and held[1].fingerprint == fingerprint:
                self._write(held[0], _FREE)

    def remove_abandoned(self, is_alive: Callable[[str], bool]) -> int:
        """Remove the claims of dead owners, and return how many; nothing of theirs may wait in the logs."""
        count = 0
        known: dict[str, bool] = {}
        for place, claim in self._all():
            if claim.owner not in known:
                known[claim.owner] = is_alive(claim.owner)
            if not known[claim.owner]:
                with self._locked_bucket(place // _BUCKET_BYTES * _BUCKET_BYTES):
                    # Looked at again: somebody alive may share it by now.
                    if _claim(self._read(place, _ENTRY.size), 0) == claim:
                        self._write(place, _FREE)
                        count += 1
        return count

    def count(self) -> int:
        """How many UIDs are claimed."""
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[tuple[int, Claim]]:
        end = 0
        while True:
            try:
                start = os.lseek(self._descriptor, end, os.SEEK_DATA)
            except OSError:  # nothing but holes behind here
                return
            end = os.lseek(self._descriptor, start, os.SEEK_HOLE)
            first = start // _BUCKET_BYTES * _BUCKET_BYTES
            for bucket in range(first, min(end, _TABLE_BYTES), _BUCKET_BYTES):
                yield from self._used(bucket)

    def _used(self, start: int) -> Iterator[tuple[int, Claim]]:
        bucket = self._read(start, _BUCKET_BYTES)
        index = bucket[:: _ENTRY.size].find(1)
        while index >= 0:
            claim = _claim(bucket, index * _ENTRY.size)
            if claim is not None:
                yield start + index * _ENTRY.size, claim
            index = bucket[:: _ENTRY.size].find(1, index + 1)

    def _find(self, start: int, key: bytes) -> tuple[int, Claim] | None:
        bucket = self._read(start, _BUCKET_BYTES)
        offset = bucket.find(key)
        while offset >= 0:
            entry = offset // _ENTRY.size * _ENTRY.size
            claim = _claim(bucket, entry)
            if claim is not None and bucket[entry + 8 : entry + 24] == key:
                return start + entry, claim
            offset = bucket.find(key, offset + 1)
        return None

    def _free_place(self, start: int) -> int:
        bucket = self._read(start, _BUCKET_BYTES)
        for index in range(_IN_BUCKET):
            if _claim(bucket, index * _ENTRY.size) is None:  # free, or torn by a crash
                return start + index * _ENTRY.size
        raise SpoolFull("Too many instances wait in the spool; start the database.")

    def _read(self, place: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, place)

    def _write(self, place: int, content: bytes) -> None:
        os.pwrite(self._descriptor, content, place)

    @contextmanager
    def _locked(self, key: bytes) -> Iterator[int]:
        """Hold the bucket of a key; gives where it begins."""
        with self._locked_bucket(int.from_bytes(key[:4], "little") % _BUCKETS * _BUCKET_BYTES) as start:
            yield start

    @contextmanager
    def _locked_bucket(self, start: int) -> Iterator[int]:
        """Hold a bucket against other threads and processes."""
        with self._threads:
            self._lock(fcntl.F_WRLCK, start)
            try:
                yield start
            finally:
                self._lock(fcntl.F_UNLCK, start)

    def _lock(self, kind: int, start: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, _FLOCK.pack(kind, os.SEEK_SET, start, 1, 0))


def _key(sop_instance_uid: str) -> bytes:
    return hashlib.sha256(sop_instance_uid.encode()).digest()[:16]


def _claim(bucket: bytes, offset: int) -> Claim | None:
    used, durable, _, checksum, _, digest, owner = _ENTRY.unpack_from(bucket, offset)
    if not used or zlib.crc32(bucket[offset + 8 : offset + _ENTRY.size]) != checksum:
        return None
    return Claim(digest.hex(), f"{owner >> _OWNER_BITS:03d}-{owner & (1 << _OWNER_BITS) - 1}", bool(durable))


def _owner_number(owner: str) -> int:
    log, _, first = owner.partition("-")
    return int(log) << _OWNER_BITS | int(first)
