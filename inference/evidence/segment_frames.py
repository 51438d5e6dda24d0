"""The frames of a BINARY segmentation: what describes each, and its pixels, one bit each (PS3.5 section 8.2, annex D).

Both are made when they are written, so that the number of frames costs no memory and little time: the frames of one
slice differ in two numbers only.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.evidence.segment_findings import Labels

_SEQUENCE = struct.Struct("<HH2sHL")  # tag, VR, reserved, length (PS3.5 section 7.1.2)
_ITEM = struct.Struct("<HHL")
_DIMENSION_INDEX_VALUES = struct.pack("<HH2s", 0x0020, 0x9157, b"UL")
_REFERENCED_SEGMENT_NUMBER = struct.pack("<HH2s", 0x0062, 0x000B, b"US")
_VALUE = 8  # bytes from the tag of a short element to its value
_TOGETHER = 8  # frames: so many end at a byte, whatever their size


@dataclass(frozen=True, slots=True)
class Frame:
    """The voxels of one label on one slice; ``number`` is the Segment Number that they have in the object.

    Counted row by row, the label is on pixels from ``first`` to before ``end`` of the slice only.
    """

    slice_index: int
    label: int
    number: int
    first: int
    end: int


def functional_groups(frames: Sequence[Frame], items: Mapping[int, bytes]) -> Iterator[bytes]:
    """The Per-frame Functional Groups Sequence (5200,9230) of these frames, in pieces.

    ``items`` has for each slice the item that any frame on it has but for its segment: in Explicit VR Little Endian,
    the segment being the first dimension.
    """
    length = sum(_ITEM.size + len(items[frame.slice_index]) for frame in frames)
    yield _SEQUENCE.pack(0x5200, 0x9230, b"SQ", 0, length)
    places = {index: _Places.of(item) for index, item in items.items()}
    for frame in frames:
        item = bytearray(items[frame.slice_index])
        places[frame.slice_index].name(item, frame.number)
        yield _ITEM.pack(0xFFFE, 0xE000, len(item)) + item


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """All frames, in the order of the object; ``items`` as for ``functional_groups``."""

    labels: Labels
    frames: Sequence[Frame]
    items: Mapping[int, bytes]

    def functional_groups(self) -> Iterator[bytes]:
        """The Per-frame Functional Groups Sequence, in pieces."""
        return functional_groups(self.frames, self.items)

    def pixel_data(self) -> Iterator[bytes]:
        """The Pixel Data (7FE0,0010), in pieces."""
        length = -(-len(self.frames) * int(self.labels[0].size) // 8)
        yield _SEQUENCE.pack(0x7FE0, 0x0010, b"OB", 0, length + length % 2)
        yield from self._packed()
        yield bytes(length % 2)

    def _packed(self) -> Iterator[bytes]:
        """Where the pixels of a frame are no multiple of 8, the next one begins within a byte."""
        if self.labels[0].size % 8 == 0:
            for one in self.frames:
                start = one.first // 8
                pixels = self.labels[one.slice_index].reshape(-1)[start * 8 : one.end]
                packed = np.packbits(pixels == one.label, bitorder="little").tobytes()
                yield bytes(start) + packed + bytes(self.labels[0].size // 8 - start - len(packed))
            return
        for start in range(0, len(self.frames), _TOGETHER):
            group = self.frames[start : start + _TOGETHER]
            masks = [self.labels[one.slice_index] == one.label for one in group]
            yield np.packbits(masks, bitorder="little").tobytes()


@dataclass(frozen=True, slots=True)
class _Places:
    """Where an item has its segment."""

    dimension: int
    segment: int

    @classmethod
    def of(cls, item: bytes) -> "_Places":
        return cls(
            item.index(_DIMENSION_INDEX_VALUES) + _VALUE,
            item.rindex(_REFERENCED_SEGMENT_NUMBER) + _VALUE,
        )

    def name(self, item: bytearray, number: int) -> None:
        struct.pack_into("<L", item, self.dimension, number)
        struct.pack_into("<H", item, self.segment, number)
