"""From stored instances to headers and pixels, with a limit on what they may cost."""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from inference.errors import UnusableInput
from storage.domain.study import StoredInstance

PIXEL_BUDGET = 4 * 2**30  # bytes of decoded pixels of one series
_INFLATED_LIMIT = 512 * 2**20  # bytes of one deflated data set
_META_START = 144  # preamble, prefix and the group length element (PS3.10 section 7.1)

# What pydicom and its decoders raise on malformed bytes; RecursionError is a RuntimeError.
_MALFORMED = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    RuntimeError,
    OverflowError,
    OSError,
    struct.error,
    zlib.error,
)


def read_headers(instances: Sequence[StoredInstance]) -> list[Dataset]:
    """The data sets of instances up to their pixel data, in the order given.

    Raises:
        UnusableInput: ``missing-object``, ``damaged-object``, ``inflates-too-large`` or ``unreadable``.
    """
    return [_parse(_checked_bytes(instance), header_only=True) for instance in instances]


def read_pixels(instance: StoredInstance) -> NDArray[np.generic]:
    """The stored pixel values of one single-frame monochrome instance, as (row, column).

    Raises:
        UnusableInput: what ``read_headers`` raises, or ``no-pixel-data``, ``short-pixel-data``,
            ``undecodable-pixel-data``, ``multi-frame`` or ``not-monochrome``.
    """
    dataset = _parse(_checked_bytes(instance), header_only=False)
    pixel_bytes(dataset)
    data = dataset.get("PixelData")
    if data is None:
        raise UnusableInput("no-pixel-data", "An instance of the series carries no Pixel Data; send the series again.")
    if not UID(dataset.file_meta.TransferSyntaxUID).is_compressed and len(data) < pixel_bytes(dataset):
        raise UnusableInput(
            "short-pixel-data", "The Pixel Data of an instance is shorter than its header says; send the series again."
        )
    with _named("undecodable-pixel-data", "The Pixel Data of an instance cannot be decoded; send it uncompressed."):
        pixels: NDArray[np.generic] = dataset.pixel_array
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise UnusableInput("undecodable-pixel-data", "The decoded Pixel Data is not of the size its header says.")
    return pixels


def check_budget(headers: Sequence[Dataset], budget: int = PIXEL_BUDGET) -> None:
    """Refuse a series whose headers promise more pixels than the worker will hold, before anything is decoded.

    Raises:
        UnusableInput: ``too-many-pixels``, or what ``pixel_bytes`` raises.
    """
    if sum(pixel_bytes(header) for header in headers) > budget:
        raise UnusableInput(
            "too-many-pixels", f"The series has more than {budget} bytes of pixels, which is our limit."
        )


def pixel_bytes(header: Dataset) -> int:
    """Bytes of the decoded pixels of a single-frame monochrome instance, from its header alone.

    Raises:
        UnusableInput: ``no-pixel-data`` when the attributes of the Image Pixel Module (PS3.3 section C.7.6.3) are
            missing; ``multi-frame`` or ``not-monochrome`` when this release does not read such images.
    """
    try:
        rows, columns, bits = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        frames = int(header.get("NumberOfFrames", None) or 1)
        samples = int(header.get("SamplesPerPixel", 1))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise UnusableInput("no-pixel-data", "An instance of the series does not describe an image.") from None
    if frames != 1:
        raise UnusableInput("multi-frame", "The series has multi-frame images, which this release does not read.")
    if samples != 1 or header.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnusableInput("not-monochrome", "The images are in colour; algorithms of this release take grey values.")
    if bits not in (8, 16, 32) or rows <= 0 or columns <= 0:
        raise UnusableInput("no-pixel-data", "An instance of the series does not describe an image.")
    return rows * columns * (bits // 8)


def _checked_bytes(instance: StoredInstance) -> bytes:
    """The Part 10 file, whose data set is still the one that was received."""
    try:
        content = instance.path.read_bytes()
    except OSError:
        raise UnusableInput(
            "missing-object", "The file of a stored instance cannot be read; restore it from a backup."
        ) from None
    if hashlib.sha256(memoryview(content)[_data_set_start(content) :]).hexdigest() != instance.sha256:
        raise UnusableInput(
            "damaged-object", "The file of a stored instance is not what was received; restore it from a backup."
        )
    return content


def _data_set_start(content: bytes) -> int:
    """Where the file meta information ends; its first element holds its length (PS3.10 section 7.1)."""
    return _META_START + int.from_bytes(content[_META_START - 4 : _META_START], "little")


def _parse(content: bytes, *, header_only: bool) -> Dataset:
    with _named("unreadable", "An instance of the series cannot be read as DICOM; send it again."):
        meta = dcmread(BytesIO(content[: _data_set_start(content)]), stop_before_pixels=True).file_meta
        if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            _check_inflation(content)
        return dcmread(BytesIO(content), stop_before_pixels=header_only)


def _check_inflation(content: bytes) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left, inflated = content[_data_set_start(content) :], 0
    while left and not inflater.eof:
        inflated += len(inflater.decompress(left, 2**20))
        left = inflater.unconsumed_tail
        if inflated > _INFLATED_LIMIT:
            raise UnusableInput(
                "inflates-too-large", "A deflated instance grows beyond our limit; send it uncompressed."
            )


@contextmanager
def _named(code: str, sentence: str) -> Iterator[None]:
    """Give malformed bytes one name; what the library says of them may repeat a patient's data, so it is dropped."""
    try:
        yield
    except UnusableInput:
        raise
    except _MALFORMED:
        raise UnusableInput(code, sentence) from None
