"""Reading back the files we keep: their attributes, and where their pixels are; pixels are never read here.

pydicom meets bytes that any peer may have sent, so whatever it raises becomes one kind of failure.
"""

import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from listener.errors import ListenerError
from listener.web.part10_head import HEAD_LIMIT, read_file_meta
from storage.errors import UnreadableDataSet

_INFLATED_LIMIT = 64 * 2**20  # bytes; of a deflated data set no more than this is held
_CHUNK = 2**20
_UNDEFINED = 0xFFFFFFFF
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
NATIVE_LITTLE = frozenset({_IMPLICIT_LITTLE, "1.2.840.10008.1.2.1"})

# Float, Double Float and integer Pixel Data (PS3.3 section C.7.6.24 and C.7.6.3).
PIXEL_TAGS = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}

# What pydicom raises when it meets bytes that any peer may have sent; a RecursionError is a RuntimeError.
MALFORMED = (
    *(InvalidDicomError, BytesLengthException, UnreadableDataSet, ValueError, TypeError, LookupError, AttributeError),
    *(EOFError, RuntimeError, OverflowError, NotImplementedError, struct.error, zlib.error),
)

# The same of a value that is in memory already, where an OSError cannot be one of the disk.
MALFORMED_VALUE = (*MALFORMED, OSError)


class UnreadableFile(ListenerError):
    """The instance cannot be read as DICOM; it can be retrieved as it is, as application/dicom."""


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The element that holds the pixels: where its value begins in the file, and how long it is.

    ``length`` is ``None`` where the value is encapsulated; then it begins with the basic offset table.
    """

    tag: int
    vr: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class DicomFile:
    """The attributes of a file up to its pixels; ``pixels`` is ``None`` when there are none, or none we can find."""

    data_set: Dataset
    transfer_syntax_uid: str
    pixels: PixelElement | None


def read_dicom_file(path: Path, tags: Collection[int] | None = None) -> DicomFile:
    """Read the attributes of a file, or only those with these tags.

    Raises:
        UnreadableFile: the bytes are no data set.
        OSError: the file is not there, or cannot be read now.
    """
    with path.open("rb") as file:
        try:
            return _read(file, tags)
        except MALFORMED as error:
            raise UnreadableFile from error
        except OSError as error:
            if error.errno is None:  # pydicom's own, of a sequence that is cut off
                raise UnreadableFile from error
            raise


def _read(file: BinaryIO, tags: Collection[int] | None) -> DicomFile:
    meta = read_file_meta(file.read(HEAD_LIMIT))
    file.seek(meta.data_set_offset)
    syntax = meta.transfer_syntax_uid
    source = BytesIO(_inflated(file)) if syntax in DEFLATED else file
    found: list[PixelElement] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag < min(PIXEL_TAGS):
            return False
        if tag in PIXEL_TAGS:
            known = None if length == _UNDEFINED else length
            found.append(PixelElement(int(tag), vr or PIXEL_TAGS[int(tag)], source.tell(), known))
        return True

    data_set = read_dataset(
        source,
        is_implicit_VR=syntax == _IMPLICIT_LITTLE,
        is_little_endian=syntax != _EXPLICIT_BIG,
        stop_when=at_pixels,
        specific_tags=None if tags is None else [BaseTag(tag) for tag in tags],
    )
    return DicomFile(data_set, syntax, found[0] if found and source is file else None)


def _inflated(file: BinaryIO) -> bytes:
    """As much of a deflated data set as we hold; what is cut off are pixels, or the instance is unreadable."""
    inflate, inflated = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    while len(inflated) < _INFLATED_LIMIT and (chunk := inflate.unconsumed_tail or file.read(_CHUNK)):
        inflated += inflate.decompress(chunk, _INFLATED_LIMIT - len(inflated))
    return bytes(inflated)
