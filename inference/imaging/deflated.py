"""Deflated data sets (PS3.5 section A.5), inflated no further than a limit.

pydicom would inflate the whole data set at once, whatever a few kilobytes turn out to hold.
"""

import zlib
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset

from inference.errors import UnusableInput
from inference.imaging.header_items import refuse_too_many_items
from storage.domain.element_walk import Encoding, PixelPlace, values_before_pixels
from storage.errors import UnreadableDataSet

_FIRST, _TIMES = 2**13, 4  # bytes that are inflated to find the pixel data in, and of how many more the next try is
_ENCODING = Encoding(implicit_vr=False)
# Preamble, prefix and the one element that says: what follows is Explicit VR Little Endian (PS3.10 section 7.1).
_INFLATED_PREFIX = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\0"
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\xe0\x7f\x10\x00")


def read_deflated(meta: FileMetaDataset, data_set: memoryview, limit: int) -> Dataset:
    """Read a whole deflated data set, of which at most ``limit`` bytes are inflated.

    Raises:
        UnusableInput: ``inflates-too-large``: the limit is reached before it ends.
        zlib.error, EOFError, ...: the bytes are malformed, see ``series_reader``.
    """
    dataset = dcmread(BytesIO(_INFLATED_PREFIX + _whole(data_set, limit)))
    dataset.file_meta = meta
    return dataset


def read_deflated_header(meta: FileMetaDataset, data_set: memoryview, limit: int) -> tuple[Dataset, int]:
    """Read the part before the pixel data, and say how many bytes it has. Little more than it is inflated.

    Raises:
        UnusableInput: ``inflates-too-large``: the limit is reached before the pixel data begins.
        zlib.error, EOFError, ...: as above.
    """
    inflating = _Inflating(data_set)
    inflated, size = b"", min(_FIRST, limit)
    while True:
        inflated += inflating.more(size - len(inflated))
        if inflating.complete or size == limit or _pixels(inflated) is not None:
            break
        size = min(_TIMES * size, limit)
    refuse_too_many_items(inflated)
    file = BytesIO(_INFLATED_PREFIX + inflated)
    dataset = dcmread(file, stop_before_pixels=True)
    end = file.tell()
    # pydicom takes a data set that was cut off for one that ended, so look where it stopped.
    if not inflating.complete and file.read(4) not in _PIXEL_DATA_TAGS:
        raise _too_large(limit)
    dataset.file_meta = meta
    return dataset, end - len(_INFLATED_PREFIX)


def read_deflated_pixels(data_set: memoryview, limit: int) -> memoryview | None:
    """The value of Pixel Data, ``None`` where there is none or the elements before it are too many.

    Raises:
        UnusableInput: ``inflates-too-large``: the limit is reached before the data set ends.
        zlib.error, EOFError: as above.
    """
    inflated = _whole(data_set, limit)
    place = _pixels(inflated)
    if place is None or place.length is None:
        return None
    return memoryview(inflated)[place.value : place.value + place.length]


def _pixels(inflated: bytes) -> PixelPlace | None:
    try:
        return values_before_pixels(inflated, _ENCODING, frozenset())[1]
    except UnreadableDataSet:
        return None  # perhaps it only goes on


def _whole(data_set: memoryview, limit: int) -> bytes:
    inflating = _Inflating(data_set)
    inflated = inflating.more(limit)
    if not inflating.complete:
        raise _too_large(limit)
    return inflated


class _Inflating:
    """A deflated data set, inflated piece by piece."""

    def __init__(self, data_set: memoryview) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._left: bytes | memoryview = data_set

    @property
    def complete(self) -> bool:
        """Whether there is no more."""
        return self._inflater.eof

    def more(self, size: int) -> bytes:
        """The next so many bytes; fewer only at its end. Raises zlib.error, EOFError."""
        if not size:
            return b""
        produced = self._inflater.decompress(self._left, size)
        self._left = self._inflater.unconsumed_tail
        if len(produced) < size and not self.complete:
            raise EOFError("the deflated data set ends early")
        return produced


def _too_large(limit: int) -> UnusableInput:
    return UnusableInput(
        "inflates-too-large",
        f"A deflated instance grows beyond the {limit} bytes that its image justifies; send it uncompressed.",
    )
