"""The DICOM File Format as far as storage must know it (PS3.10 section 7.1): where the data set begins."""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from storage.errors import DamagedObject
from storage.objects.direct import aligned_memory, read_whole

_PREAMBLE = 128
_GROUP_LENGTH_HEADER = b"\x02\x00\x00\x00UL\x04\x00"  # (0002,0000), explicit VR little endian, 4 bytes
_GROUP_LENGTH_END = _PREAMBLE + 4 + len(_GROUP_LENGTH_HEADER) + 4
_META_LIMIT = 64 * 1024  # ours is a few hundred bytes; more is not something we wrote
_CHUNK = 1024 * 1024


def data_set_offset(head: bytes) -> int:
    """Where the data set begins in a file that starts with ``head`` (at least 144 bytes).

    Raises:
        DamagedObject: these are not the first bytes of a Part 10 file.
    """
    if (
        len(head) < _GROUP_LENGTH_END
        or head[_PREAMBLE : _PREAMBLE + 4] != b"DICM"
        or head[_PREAMBLE + 4 : _GROUP_LENGTH_END - 4] != _GROUP_LENGTH_HEADER
    ):
        raise DamagedObject("A stored object is not a DICOM file any more; restore it from a backup.")
    (length,) = struct.unpack("<L", head[_GROUP_LENGTH_END - 4 : _GROUP_LENGTH_END])
    if length > _META_LIMIT:
        raise DamagedObject("A stored object's file meta information is damaged; restore it from a backup.")
    return _GROUP_LENGTH_END + int(length)


@dataclass(frozen=True, slots=True)
class Digests:
    """What tells data sets apart: SHA-256, which everything outside the spool goes by, and the spool's BLAKE3."""

    sha256: str
    fingerprint: str
    size: int  # bytes

    def are_of(self, fingerprint: str) -> bool:
        """Whether it is the data set with this fingerprint, the SHA-256 in manifests of an earlier release."""
        return fingerprint in (self.fingerprint, self.sha256)


def digests_of(data_set: Iterable[bytes | memoryview]) -> Digests:
    """The digests of a data set that comes in pieces."""
    sha256, fingerprint, size = hashlib.sha256(), blake3(), 0
    for piece in data_set:
        sha256.update(piece)
        fingerprint.update(piece)
        size += len(piece)
    return Digests(sha256.hexdigest(), fingerprint.hexdigest(), size)


def data_set_digests(path: Path, flags: int = 0) -> Digests:
    """Those of the data set in a Part 10 file, without preamble and file meta information.

    The file is opened with ``flags``, that of ``storage.objects.direct.direct_flag`` for a file read only once.

    Raises:
        DamagedObject: the file is not a Part 10 file.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        return digests_of(_data_set(_chunks(descriptor)))
    finally:
        os.close(descriptor)


def _data_set(chunks: Iterator[memoryview]) -> Iterator[memoryview]:
    first = next(chunks, memoryview(b""))
    yield first[data_set_offset(bytes(first[:_GROUP_LENGTH_END])) :]
    yield from chunks


def _chunks(descriptor: int) -> Iterator[memoryview]:
    """The file in pieces that are overwritten by the next one."""
    memory = aligned_memory(_CHUNK)
    offset = 0
    while reached := read_whole(descriptor, memory, offset):
        yield memory[:reached]
        offset += reached
        if reached < _CHUNK:
            break
