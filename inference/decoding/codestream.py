"""What a codestream says of itself, read before a codec believes it."""

import struct

_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})  # baseline, extended, progressive, lossless; JPEG-LS
_NO_SEGMENT = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_2000 = b"\xff\x4f\xff\x51"  # the start of a codestream and of its first segment
_SIZE = struct.Struct(">HHLLLLLLLLH")
_TILE_PART, _TILE = b"\xff\x90", struct.Struct(">HHLBB")  # SOT and its segment
_END = b"\xff\xd9"  # of a JPEG and of a JPEG 2000 codestream; coded data cannot hold it
_MORE_DATA = bytes(17 + number * 67 % 211 for number in range(64))  # of no order, and without a marker
JPEG_DATA = b"\xff\xda"  # the marker before coded data: SOS


class Undecodable(Exception):
    """The bytes are not what the attributes say, or not in their format."""


def refuse_cut_off(content: bytes) -> None:
    """Refuse a JPEG or JPEG-LS codestream without an end behind its last coded data (ITU-T T.81 B.2.1, T.87 C.1).

    Some decoders fill up what is missing with one value, without a word, and half of an image would be analysed as the
    whole.

    Raises:
        Undecodable: it was cut off.
    """
    if content.rfind(_END) < content.rfind(JPEG_DATA):
        raise Undecodable


def jpeg_with_more_data(content: bytes) -> bytes:
    """The same JPEG codestream with a few more bytes of coded data before its end."""
    data = content[: content.rfind(_END)].rstrip(b"\xff")  # which may fill up before a marker (ITU-T T.81 B.1.1.2)
    return data + _MORE_DATA + _END


def refuse_incomplete_tiles(content: bytes) -> None:
    """Refuse a JPEG 2000 codestream that lacks bytes of its tile-parts, or a tile (ITU-T T.800 A.4.2).

    Each tile-part says how long it is and which tile it belongs to, and the next one or the end stands behind it. A
    decoder that is content with less leaves what is missing dark, or takes one tile-part for another.

    Raises:
        Undecodable: something is missing.
    """
    start = content.find(_JPEG_2000)
    at = content.find(_TILE_PART, start)
    seen: set[int] = set()
    while content[at : at + 2] == _TILE_PART and at + 2 + _TILE.size <= len(content):
        _, tile, length, _, _ = _TILE.unpack_from(content, at + 2)
        seen.add(tile)
        if length == 0:  # up to the end, which only the last one may say
            at = content.rfind(_END)
            break
        if length < 2 + _TILE.size:
            raise Undecodable
        at += length
    if content[at : at + 2] != _END or len(seen) != _tiles(content, start):
        raise Undecodable


def jpeg_size(content: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of a JPEG or JPEG-LS codestream (ITU-T T.81 B.2.2, T.87 C.2.2).

    Raises:
        Undecodable: it does not say.
    """
    if content[:2] != b"\xff\xd8":
        raise Undecodable
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise Undecodable
        marker = content[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in _NO_SEGMENT:
            at += 2
            continue
        if marker in _JPEG_FRAMES:
            if at + 10 > len(content):
                raise Undecodable
            rows, columns, components = struct.unpack_from(">HHB", content, at + 5)
            return rows, columns, components
        (length,) = struct.unpack_from(">H", content, at + 2)
        at += 2 + max(length, 2)
    raise Undecodable


def jpeg_2000_size(content: bytes) -> tuple[int, int, int]:
    """The same of a JPEG 2000 codestream, with or without boxes around it (ITU-T T.800 A.5.1).

    Raises:
        Undecodable: it does not say, or its tiles are so many that they alone would cost memory.
    """
    at = content.find(_JPEG_2000)
    if at < 0 or at + 4 + _SIZE.size > len(content):
        raise Undecodable
    _, _, right, bottom, left, top, width, height, _, _, components = _SIZE.unpack_from(content, at + 4)
    if width == 0 or height == 0 or right <= left or bottom <= top:
        raise Undecodable
    if _tiles(content, at) > 65535:
        raise Undecodable
    return bottom - top, right - left, components


def _tiles(content: bytes, at: int) -> int:
    """How many there are, of a codestream with a size that begins here (ITU-T T.800 B.3)."""
    _, _, right, bottom, _, _, width, height, left, top, _ = _SIZE.unpack_from(content, at + 4)
    tiles: int = -(-(right - min(left, right)) // width) * -(-(bottom - min(top, bottom)) // height)
    return tiles
