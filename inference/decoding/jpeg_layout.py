"""Where things stand in a JPEG of one scan, and other images with its tables: what is needed to look at its end.

A decoder fills up what is missing, and passes over what is left, without a word. So it is given an image with a further
row, and known bytes behind the data. Where data and image end together, the further row holds what those bytes mean;
where the data ended early, some of them went into the image, and where data are left over, the row holds what was left.
What the bytes mean is found with the same decoder and tables, in a small image, for each number of bits that may be
left to fill a byte. Some writers add a byte of zeros, which is borne with.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.decoding.codestream import JPEG_DATA

Samples = NDArray[np.unsignedinteger[Any]]
Decoder = Callable[[bytes], Samples]

# Behind the data, as many as what is compared may need: of no order, and without a marker.
KNOWN = bytes(17 + number * 67 % 211 for number in range(512))

_KNOWN_NUMBER = int.from_bytes(KNOWN, "big")

_LOSSLESS, _SEQUENTIAL = 0xC3, frozenset({0xC0, 0xC1})  # frame headers (ITU-T T.81 table B.1)
_OTHER_FRAMES = frozenset({*range(0xC0, 0xD0)} - {_LOSSLESS, *_SEQUENTIAL, 0xC4})  # 0xC4 are Huffman tables
_RESTARTS, _SCAN, _QUANTIZATION = 0xDD, 0xDA, 0xDB
_END = b"\xff\xd9"
_LEFT = 16  # bits that may be left, one fewer than this
_FILLING = re.compile("(0{0,7}|1{0,7})(0{8})?")  # they: up to seven that fill a byte, and a byte of zeros


@dataclass(frozen=True, slots=True)
class JpegLayout:
    """A lossless, baseline or extended JPEG of one scan without restarts.

    ``frame``, ``data`` and ``end`` are where the frame header begins, the coded data, and what is behind them;
    ``tables`` where the segments with quantization tables do. ``unit`` are the rows and columns that the scan goes by:
    1 of a lossless image, else those of one or several blocks, of which the first component is not coarser than others.
    """

    content: bytes
    frame: int
    data: int
    end: int
    tables: tuple[int, ...]
    rows: int
    columns: int
    components: int
    precision: int
    unit: tuple[int, int]
    is_lossless: bool
    predictor: int

    @property
    def whole_rows(self) -> int:
        """Rows with those that fill the last blocks."""
        return -(-self.rows // self.unit[0]) * self.unit[0]

    @property
    def coded(self) -> bytes:
        """The coded data, with the known bytes behind them."""
        return self.content[self.data : self.end] + KNOWN

    @property
    def head(self) -> bytearray:
        """All that stands before them."""
        return bytearray(self.content[: self.data])

    def image(self, head: bytearray, data: bytes, rows: int, columns: int, precision: int) -> bytes:
        """Another image with the tables of ``head``, which is used up."""
        struct.pack_into(">BHH", head, self.frame + 4, precision, rows, columns)
        return bytes(head) + data + _END

    def leftovers(self) -> Iterator[bytes]:
        """The known bytes as coded data, each time behind other last bits of the data, which may be left."""
        tail = self.content[self.end - 8 : self.end].replace(b"\xff\x00", b"\xff")
        last = f"{int.from_bytes(tail[-_LEFT // 8 :], 'big'):0{_LEFT}b}"
        for left in range(_LEFT):
            before = last[_LEFT - left :]
            if _FILLING.fullmatch(before):
                filling = -left % 8
                bits = int(f"0{before}", 2) << 8 * len(KNOWN) | _KNOWN_NUMBER
                whole = bits << filling | (1 << filling) - 1
                yield whole.to_bytes(len(KNOWN) + (left + filling) // 8, "big").replace(b"\xff", b"\xff\x00")


def jpeg_layout(content: bytes) -> JpegLayout | None:
    """The layout of a JPEG, ``None`` where it is of another kind or in several parts."""
    try:
        return _layout(content)
    except (struct.error, IndexError, ValueError):
        return None


def _layout(content: bytes) -> JpegLayout | None:
    frame, scan, tables = 0, 0, []
    for marker, at in _segments(content):
        if marker in _OTHER_FRAMES or (marker == _RESTARTS and any(content[at + 4 : at + 6])):
            return None
        if marker == _LOSSLESS or marker in _SEQUENTIAL:
            frame = at
        elif marker == _QUANTIZATION:
            tables.append(at)
        scan = at
    end = content.rfind(_END)
    while content[end - 1] == 0xFF:  # may fill up before a marker (ITU-T T.81 B.1.1.2)
        end -= 1
    data = scan + 2 + struct.unpack_from(">H", content, scan + 2)[0]
    precision, rows, columns, components = struct.unpack_from(">BHHB", content, frame + 4)
    unit = _unit(content, frame, components)
    predictor, point_transform = content[data - 3], content[data - 1] & 0xF
    if not frame or unit is None or content[scan + 4] != components or point_transform or not rows or not columns:
        return None
    if end - data < _LEFT or content.find(JPEG_DATA, data) >= 0 or rows + 2 * unit[0] > 0xFFFF or predictor > 7:
        return None
    return JpegLayout(
        *(content, frame, data, end, tuple(tables), rows, columns, components, precision, unit),
        *(content[frame + 1] == _LOSSLESS, predictor),
    )


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment up to that of the first scan. Raises struct.error, IndexError."""
    at = 2
    while True:
        while content[at + 1] == 0xFF:
            at += 1
        yield content[at + 1], at
        if content[at + 1] == _SCAN:
            return
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]


def _unit(content: bytes, frame: int, components: int) -> tuple[int, int] | None:
    factors = [divmod(content[frame + 11 + 3 * number], 16) for number in range(components)]
    across, down = (max(some) for some in zip(*factors, strict=True))
    if content[frame + 1] == _LOSSLESS:
        return (1, 1) if across == down == 1 else None
    if components == 1:
        return (8, 8)  # whatever its factors (ITU-T T.81 A.2.2)
    return (8 * down, 8 * across) if factors[0] == (across, down) else None
