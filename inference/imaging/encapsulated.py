"""The fragments of encapsulated pixel data (PS3.5 section A.4)."""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

from inference.errors import UnusableInput
from inference.imaging.pixel_format import short_pixel_data

_ITEM, _END = 0xE000FFFE, 0xE0DDFFFE  # the tags as they are read, group first
_HEAD = struct.Struct("<LL")
_MOST_FRAGMENTS = 2_000_000  # each costs some memory, and eight bytes of a file are one
_TABLE_MODULUS = 2**32  # of the Basic Offset Table, whose offsets begin anew where pixels are larger
_MARKER, _MARKER_WITHIN = b"\xff\xd9", 10  # end of a JPEG or JPEG 2000 codestream, and padding behind it

Place = tuple[int, int]  # where the value of a fragment begins, and how long it is


def single_frame(value: memoryview) -> bytes:
    """The one frame of an instance, put together from all its fragments.

    ``value`` is what follows the head of the Pixel Data element, up to the end of the data set or of the value.

    Raises:
        UnusableInput: ``short-pixel-data``, when it ends before its last fragment does; ``undecodable-pixel-data``.
    """
    fragments: list[memoryview] = []
    offset = 0
    while offset < len(value):
        if offset + _HEAD.size > len(value):
            raise short_pixel_data()
        tag, length = _HEAD.unpack_from(value, offset)
        offset += _HEAD.size
        if tag == _END:
            break
        if tag != _ITEM or len(fragments) > _MOST_FRAGMENTS:
            raise _malformed()
        if offset + length > len(value):
            raise short_pixel_data()
        fragments.append(value[offset : offset + length])
        offset += length
    if len(fragments) < 2:  # the first is the Basic Offset Table
        raise _malformed()
    return b"".join(fragments[1:])


def frame_places(file: BinaryIO, size: int, count: int, extended: bytes | None) -> list[Sequence[Place]]:
    """Where the fragments of each of ``count`` frames lie in a file that stands at the first item.

    ``size`` is how long the file is, ``extended`` the Extended Offset Table (7FE0,0001) if there is one. A table of
    offsets is not followed but compared: frames lie in their order, and one that says otherwise is refused, because
    nobody knows whether other readers see the same frames.

    Raises:
        UnusableInput: ``short-pixel-data``, when frames are missing; ``undecodable-pixel-data``, when fragments and
            tables do not fit each other.
    """
    basic, *places = _fragments(file, size)
    told = _table(file, basic, extended)
    starts = [place - _HEAD.size for place, _ in places]
    if told is None:
        return _without_table(file, places, count)
    if len(told) != count or not places:
        raise _malformed()
    modulus = _TABLE_MODULUS if extended is None else 1 << 64
    number_at = {(start - starts[0]) % modulus: number for number, start in enumerate(starts)}
    firsts = list(range(count)) if len(places) == count else [number_at.get(offset, -1) for offset in told]
    if any((starts[first] - starts[0]) % modulus != offset for first, offset in zip(firsts, told, strict=True)):
        raise _malformed()
    if firsts[0] != 0 or any(one >= other for one, other in pairwise(firsts)):
        raise _malformed()
    return [places[first:end] for first, end in zip(firsts, [*firsts[1:], len(places)], strict=True)]


def _fragments(file: BinaryIO, size: int) -> Iterator[Place]:
    """Every item, the Basic Offset Table first. Raises UnusableInput."""
    at = file.tell()
    for number in range(_MOST_FRAGMENTS):
        file.seek(at)
        head = file.read(_HEAD.size)
        if not head and number:
            return  # a delimiter that is missing takes nothing away
        if len(head) < _HEAD.size:
            raise short_pixel_data()
        tag, length = _HEAD.unpack(head)
        at += _HEAD.size
        if tag == _END and number:
            return
        if tag != _ITEM:
            raise _malformed()
        if at + length > size:
            raise short_pixel_data()
        yield at, length
        at += length
    raise _malformed()


def _table(file: BinaryIO, basic: Place, extended: bytes | None) -> tuple[int, ...] | None:
    """What a table says of the frames' offsets; ``None`` where there is none."""
    if extended:
        return struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8])
    place, length = basic
    if not length:
        return None
    file.seek(place)
    return struct.unpack(f"<{length // 4}L", file.read(length // 4 * 4))


def _without_table(file: BinaryIO, places: Sequence[Place], count: int) -> list[Sequence[Place]]:
    """A fragment is a frame, or the last one of a frame ends with a codestream's end."""
    if len(places) == count:
        return [[place] for place in places]
    if len(places) < count:
        raise short_pixel_data()
    if count == 1:
        return [places]
    frames: list[Sequence[Place]] = []
    first = 0
    for number, (place, length) in enumerate(places, 1):
        file.seek(place + max(length - _MARKER_WITHIN, 0))
        if _MARKER in file.read(min(length, _MARKER_WITHIN)):
            frames.append(places[first:number])
            first = number
    if len(frames) != count or first != len(places):
        raise _malformed()
    return frames


def _malformed() -> UnusableInput:
    return UnusableInput(
        "undecodable-pixel-data",
        "The Pixel Data of an instance is not in fragments as it says; send it again.",
    )
