"""One record of the spool's log: a fixed head, a name, a manifest, and the bytes of one object (docs/decisions/0010).

A record begins at a multiple of ``ALIGNMENT`` and its head says where, so that a reader finds the next one behind a
damaged one, and never takes for a record what an earlier use of the same file left behind.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from storage.objects.direct import BLOCK, whole_blocks

ALIGNMENT = BLOCK  # bytes; a disk writes it whole, and direct transfers need it

_MAGIC = b"OVRL"
_VERSION = 1
_FACTS = struct.Struct("<4sBBHIIQQQ")
_HEAD = struct.Struct("<4sBBHIIQQQI")
_LONGEST_MANIFEST = 1024 * 1024  # bytes; ours have about a thousand


class RecordKind(IntEnum):
    """What a record tells."""

    INSTANCE = 1
    QUARANTINED = 2
    ASSOCIATION = 3


_KINDS = frozenset(RecordKind)


@dataclass(frozen=True, slots=True)
class RecordHead:
    """The fixed part: what follows it, and how much. ``name`` is that of a file when the object lies in one."""

    kind: RecordKind
    name_length: int
    manifest_length: int
    prefix_length: int  # of the object's bytes: preamble, prefix and file meta information
    data_length: int  # of the object's bytes in the log, with that prefix

    @property
    def data_start(self) -> int:
        """Where the object's bytes begin, from the beginning of the record."""
        return _HEAD.size + self.name_length + self.manifest_length

    @property
    def length(self) -> int:
        """How far it is to the next record."""
        return whole_blocks(self.data_start + self.data_length)


def record_length(name: bytes, manifest: bytes, data_length: int) -> int:
    """How much room a record takes."""
    return whole_blocks(_HEAD.size + len(name) + len(manifest) + data_length)


def before_data(name: bytes, manifest: bytes) -> bytes:
    """The manifest with spaces behind it, so that data after it begins at a multiple of ``ALIGNMENT``."""
    return manifest + b" " * (-(_HEAD.size + len(name) + len(manifest)) % ALIGNMENT)


def encoded(
    kind: RecordKind, name: bytes, manifest: bytes, prefix_length: int, data_length: int, generation: int, offset: int
) -> bytes:
    """Head, name and manifest of a record that stands at ``offset`` in the segment with number ``generation``."""
    facts = _FACTS.pack(
        *(_MAGIC, _VERSION, kind, len(name), len(manifest), prefix_length, data_length, generation, offset)
    )
    text = name + manifest
    return facts + struct.pack("<I", zlib.crc32(text, zlib.crc32(facts))) + text


class SegmentBytes(Protocol):
    """The bytes of a segment; taking a piece may raise OSError."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, piece: slice) -> bytes:
        """Those of a piece."""
        ...


def begins_record(segment: SegmentBytes, generation: int, offset: int) -> bool:
    """Whether a record of this segment was begun here, damaged or not."""
    head = segment[offset : offset + _HEAD.size]
    if len(head) < _HEAD.size:
        return False
    magic, *_, written_generation, written_offset, _ = _HEAD.unpack(head)
    return bool(magic == _MAGIC and (written_generation, written_offset) == (generation, offset))


def decoded(segment: SegmentBytes, generation: int, offset: int) -> RecordHead | None:
    """The head of the record at ``offset``, ``None`` when there is none, or a damaged one."""
    if not begins_record(segment, generation, offset):
        return None
    _, version, kind, name_length, manifest_length, prefix_length, data_length, _, _, checksum = _HEAD.unpack(
        segment[offset : offset + _HEAD.size]
    )
    text_end = offset + _HEAD.size + name_length + manifest_length
    if version != _VERSION or manifest_length > _LONGEST_MANIFEST or text_end + data_length > len(segment):
        return None
    facts = zlib.crc32(segment[offset : offset + _FACTS.size])
    if zlib.crc32(segment[offset + _HEAD.size : text_end], facts) != checksum or kind not in _KINDS:
        return None
    return RecordHead(RecordKind(kind), name_length, manifest_length, prefix_length, data_length)


def text_of(segment: SegmentBytes, offset: int, head: RecordHead) -> tuple[str, bytes]:
    """The name and the manifest of a record."""
    start = offset + _HEAD.size
    middle = start + head.name_length
    return segment[start:middle].decode("ascii"), segment[middle : middle + head.manifest_length]
