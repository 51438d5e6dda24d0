"""The fragments of encapsulated pixel data (PS3.5 section A.4)."""

import struct

from inference.errors import UnusableInput
from inference.imaging.pixel_format import short_pixel_data

_ITEM, _END = 0xE000FFFE, 0xE0DDFFFE  # the tags as they are read, group first
_HEAD = struct.Struct("<LL")


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
        if tag != _ITEM:
            raise _malformed()
        if offset + length > len(value):
            raise short_pixel_data()
        fragments.append(value[offset : offset + length])
        offset += length
    if len(fragments) < 2:  # the first is the Basic Offset Table
        raise _malformed()
    return b"".join(fragments[1:])


def _malformed() -> UnusableInput:
    return UnusableInput(
        "undecodable-pixel-data",
        "The Pixel Data of an instance is not in fragments as it says; send it again.",
    )
