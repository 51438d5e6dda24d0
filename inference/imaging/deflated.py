"""Deflated data sets (PS3.5 section A.5), inflated no further than a limit.

pydicom would inflate the whole data set at once, whatever a few kilobytes turn out to hold.
"""

import zlib
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset

from inference.errors import UnusableInput

_STEP = 2**16  # bytes given to and taken from the inflater at a time
# Preamble, prefix and the one element that says: what follows is Explicit VR Little Endian (PS3.10 section 7.1).
_INFLATED_PREFIX = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\0"
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\xe0\x7f\x10\x00")


def read_deflated(meta: FileMetaDataset, data_set: memoryview, limit: int, *, header_only: bool) -> tuple[Dataset, int]:
    """Read a deflated data set, or only its part before the pixel data; also say how many bytes that part had.

    At most ``limit`` bytes are inflated.

    Raises:
        UnusableInput: ``inflates-too-large``: the limit is reached before the part that is wanted ends.
        zlib.error, EOFError, ...: the bytes are malformed, see ``series_reader``.
    """
    inflated = BytesIO()
    inflated.write(_INFLATED_PREFIX)
    complete = _inflate(data_set, inflated, limit)
    if not complete and not header_only:
        raise _too_large(limit)
    inflated.seek(0)
    dataset = dcmread(inflated, stop_before_pixels=header_only)
    end = inflated.tell()
    # pydicom takes a data set that was cut off for one that ended, so look where it stopped.
    if not complete and inflated.read(4) not in _PIXEL_DATA_TAGS:
        raise _too_large(limit)
    dataset.file_meta = meta
    return dataset, end - len(_INFLATED_PREFIX)


def _inflate(data_set: memoryview, target: BytesIO, limit: int) -> bool:
    """Append what ``data_set`` inflates to, at most ``limit`` bytes; say whether that is all of it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = limit
    for start in range(0, len(data_set), _STEP):
        pending: bytes | memoryview = data_set[start : start + _STEP]
        while not inflater.eof:
            if left == 0:
                return False
            produced = inflater.decompress(pending, min(_STEP, left))
            target.write(produced)
            left -= len(produced)
            pending = inflater.unconsumed_tail
            if not pending and not produced:
                break
        if inflater.eof:
            return True
    raise EOFError("the deflated data set ends early")


def _too_large(limit: int) -> UnusableInput:
    return UnusableInput(
        "inflates-too-large",
        f"A deflated instance grows beyond the {limit} bytes that its image justifies; send it uncompressed.",
    )
