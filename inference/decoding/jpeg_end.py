"""Whether the coded data of a lossless JPEG end where its image does: seen by decoding one more row than there is.

A decoder fills up what is missing, and passes over what is left, without a word. So it is given a header with one more
row, and known bytes behind the data. Where data and image end together, the further row holds what those bytes mean;
where the data ended early, some of them went into the image, and where data are left over, the row holds what was left.
What the bytes mean is found with the same decoder and tables, in an image of a few samples, for each number of bits
that may be left to fill a byte. Some writers add a byte of zeros, which is borne with.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.decoding.codestream import JPEG_DATA, Undecodable

Samples = NDArray[np.unsignedinteger[Any]]
Decoder = Callable[[bytes], Samples]

_LOSSLESS = 0xC3  # its frame header (ITU-T T.81 table B.1)
_OTHER_FRAMES = frozenset({*range(0xC0, 0xD0)} - {_LOSSLESS, 0xC4})  # 0xC4 are Huffman tables
_RESTARTS, _SCAN = 0xDD, 0xDA
_END = b"\xff\xd9"
_KNOWN = bytes(17 + number * 67 % 211 for number in range(128))  # of no order, and without a marker
_LEFT = 16  # bits that may be left, one fewer than this
_FILLING = re.compile("(0{0,7}|1{0,7})(0{8})?")  # they: up to seven that fill a byte, and a byte of zeros
_SHOWN = 24  # samples that are compared


@dataclass(frozen=True, slots=True)
class LosslessLayout:
    """Where things stand in a lossless JPEG of one scan without restarts.

    ``frame``, ``data`` and ``end`` are where the frame header begins, the coded data, and what is behind them.
    """

    content: bytes
    frame: int
    data: int
    end: int
    rows: int
    columns: int
    components: int
    precision: int
    predictor: int


def lossless_layout(content: bytes) -> LosslessLayout | None:
    """The layout of a JPEG, ``None`` where it is of another kind or in several parts."""
    try:
        return _layout(content)
    except (struct.error, IndexError):
        return None


def decoded_to_the_end(layout: LosslessLayout, decoder: Decoder) -> Samples:
    """The samples as ``decoder`` gives them, components as they are stored.

    Raises:
        Undecodable: the data end before the image does, or behind its end.
    """
    data = layout.content[layout.data : layout.end] + _KNOWN
    found = decoder(_changed(layout, data, layout.rows + 1, layout.columns, layout.precision))
    if found.shape[:2] != (layout.rows + 1, layout.columns):
        raise Undecodable
    last = _last_bits(layout)
    for left in range(_LEFT):
        before = last[_LEFT - left :]
        if _FILLING.fullmatch(before) and _as_predicted(
            layout, _plane(found), _plane(_meaning(layout, before, decoder))
        ):
            return found[: layout.rows]
    raise Undecodable


def _layout(content: bytes) -> LosslessLayout | None:
    frame, scan = 0, 0
    for marker, at in _segments(content):
        if marker in _OTHER_FRAMES or (marker == _RESTARTS and any(content[at + 4 : at + 6])):
            return None
        if marker == _LOSSLESS:
            frame = at
        scan = at
    end = content.rfind(_END)
    while content[end - 1] == 0xFF:  # may fill up before a marker (ITU-T T.81 B.1.1.2)
        end -= 1
    data = scan + 2 + struct.unpack_from(">H", content, scan + 2)[0]
    precision, rows, columns, components = struct.unpack_from(">BHHB", content, frame + 4)
    same_size = all(content[frame + 11 + 3 * number] == 0x11 for number in range(components))
    predictor, point_transform = content[data - 3], content[data - 1] & 0xF
    if not frame or content[scan + 4] != components or not same_size or point_transform or not rows or not columns:
        return None
    if end - data < _LEFT or content.find(JPEG_DATA, data) >= 0 or rows == 0xFFFF or not 0 < predictor < 8:
        return None
    return LosslessLayout(content, frame, data, end, rows, columns, components, precision, predictor)


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


def _changed(layout: LosslessLayout, data: bytes, rows: int, columns: int, precision: int) -> bytes:
    """Another image of the same tables."""
    head = bytearray(layout.content[: layout.data])
    struct.pack_into(">BHH", head, layout.frame + 4, precision, rows, columns)
    return bytes(head) + data + _END


def _last_bits(layout: LosslessLayout) -> str:
    tail = layout.content[layout.end - 8 : layout.end].replace(b"\xff\x00", b"\xff")
    return f"{int.from_bytes(tail[-_LEFT // 8 :], 'big'):0{_LEFT}b}"


def _meaning(layout: LosslessLayout, before: str, decoder: Decoder) -> Samples:
    """What the known bytes mean behind these bits, which are left over; in 16 bits, so that no difference is cut."""
    bits = before + "".join(f"{byte:08b}" for byte in _KNOWN)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    return decoder(_changed(layout, data, 1, min(layout.columns, _SHOWN), 16))


def _plane(samples: Samples) -> Samples:
    return samples if samples.ndim == 2 else samples[..., 0]


def _as_predicted(layout: LosslessLayout, found: Samples, meant: Samples) -> bool:
    """Whether the further row has the differences of ``meant``, a first row, in which each is to the left."""
    differences = np.diff(meant[0].astype(int), prepend=1 << 15).tolist()
    above = found[layout.rows - 1, : len(differences)].tolist()
    mask = (1 << 8 * found.itemsize) - 1
    sample = before = 0
    for column, (difference, up, seen) in enumerate(zip(differences, above, found[layout.rows].tolist(), strict=False)):
        predicted = _predicted(layout.predictor, sample, up, before) if column else up
        sample, before = (predicted + difference) & 0xFFFF, up
        if sample & mask != seen:
            return False
    return True


def _predicted(predictor: int, left: int, up: int, corner: int) -> int:
    """By the neighbours of a sample (ITU-T T.81 table H.1)."""
    return (
        *(0, left, up, corner, left + up - corner),
        *(left + (up - corner >> 1), up + (left - corner >> 1), left + up >> 1),
    )[predictor]
