"""From stored instances to headers and pixels, with a limit on what they may cost."""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from inference.errors import UnusableInput
from inference.imaging.deflated import read_deflated
from inference.imaging.frames import frame_count, frame_headers
from storage.domain.study import StoredInstance

PIXEL_BUDGET = 4 * 2**30  # bytes of decoded pixels of one series
_BESIDE_PIXELS = 16 * 2**20  # inflated bytes of one deflated data set beside its pixels
_INFLATED_HEADERS = 256 * 2**20  # inflated bytes of all headers of one series, which are held together
_META_START = 144  # preamble, prefix and the group length element (PS3.10 section 7.1)
NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)

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
    """The headers of the images in instances, in the order given: data sets up to their pixel data.

    An instance of several frames has a header for each of them, in the order of their numbers.

    Raises:
        UnusableInput: ``missing-object``, ``damaged-object``, ``inflates-too-large``, ``unreadable`` or
            ``no-pixel-data``.
        OSError: a file that is there cannot be read now.
    """
    headers, left = [], _INFLATED_HEADERS
    for instance in instances:
        header, inflated = _parse_header(checked_bytes(instance), min(_BESIDE_PIXELS, left))
        header.buffer = None  # pydicom keeps the whole file here, which nobody reads again
        with malformed():
            headers.extend(frame_headers(header))
        left -= inflated
    return headers


def read_pixels(instance: StoredInstance) -> NDArray[np.generic]:
    """The stored pixel values of one single-frame monochrome instance, as (row, column).

    Raises:
        UnusableInput: what ``read_headers`` raises, or ``no-pixel-data``, ``short-pixel-data``,
            ``undecodable-pixel-data`` or ``not-monochrome``.
    """
    dataset = parse(checked_bytes(instance))
    pixel_bytes(dataset)
    data = dataset.get("PixelData")
    if data is None:
        raise no_pixel_data()
    if dataset.file_meta.TransferSyntaxUID in NATIVE and len(data) < pixel_bytes(dataset):
        raise short_pixel_data()
    return decoded(dataset)


def decoded(dataset: Dataset) -> NDArray[np.generic]:
    """The pixel values of a data set that is one image, as (row, column).

    Raises:
        UnusableInput: ``undecodable-pixel-data``.
    """
    with _named("undecodable-pixel-data", _undecodable(dataset)):
        pixels: NDArray[np.generic] = dataset.pixel_array
    if pixels.shape != (dataset.Rows, dataset.Columns):
        raise UnusableInput("undecodable-pixel-data", "The decoded Pixel Data is not of the size its header says.")
    return pixels


def read_values(instance: StoredInstance, header: Dataset) -> NDArray[np.float32]:
    """The values of one instance after the Modality LUT (PS3.3 section C.11.1), as (row, column).

    Raises:
        UnusableInput: what ``read_pixels`` raises, or ``modality-lut`` when values need a table, or ``not-finite``
            when the rescaled values are no numbers.
    """
    return rescaled(read_pixels(instance), header)


def rescaled(pixels: NDArray[np.generic], header: Dataset) -> NDArray[np.float32]:
    """Stored pixel values after the Modality LUT of their header.

    Raises:
        UnusableInput: ``modality-lut`` or ``not-finite``, as ``read_values``.
    """
    slope, intercept = _rescale(header)
    values = pixels.astype(np.float32)
    values *= slope
    values += intercept
    if not np.isfinite(values).all():
        raise UnusableInput("not-finite", "The rescaled pixel values of the series are not all numbers.")
    return values


def _rescale(header: Dataset) -> tuple[np.float32, np.float32]:
    if header.get("ModalityLUTSequence"):
        raise UnusableInput("modality-lut", "The series needs a Modality LUT table, which this release does not apply.")
    try:
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        return np.float32(1 if slope is None else slope), np.float32(0 if intercept is None else intercept)
    except (TypeError, ValueError):
        raise UnusableInput("unreadable", "Rescale Slope or Intercept is malformed in a slice.") from None


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
    """Bytes of the decoded pixels of one monochrome image or frame, from its header alone.

    Raises:
        UnusableInput: ``no-pixel-data`` when the attributes of the Image Pixel Module (PS3.3 section C.7.6.3) are
            missing; ``not-monochrome`` when this release does not read such images.
    """
    try:
        rows, columns, bits = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        samples, kind = int(header.get("SamplesPerPixel", 1)), header.get("PhotometricInterpretation")
    except _MALFORMED:
        raise UnusableInput("no-pixel-data", "An instance of the series does not describe an image.") from None
    if samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnusableInput("not-monochrome", "The images are in colour; algorithms of this release take grey values.")
    if bits not in (8, 16, 32) or rows <= 0 or columns <= 0:
        raise UnusableInput("no-pixel-data", "An instance of the series does not describe an image.")
    return rows * columns * (bits // 8)


def checked_bytes(instance: StoredInstance) -> bytes:
    """The Part 10 file, whose data set is still the one that was received."""
    try:
        content = instance.path.read_bytes()
    except FileNotFoundError:
        raise missing_object() from None
    if hashlib.sha256(memoryview(content)[data_set_start(content) :]).hexdigest() != instance.sha256:
        raise damaged_object()
    return content


def missing_object() -> UnusableInput:
    """A file is gone."""
    return UnusableInput("missing-object", "The file of a stored instance cannot be read; restore it from a backup.")


def damaged_object() -> UnusableInput:
    """A file holds other bytes than those received."""
    return UnusableInput(
        "damaged-object", "The file of a stored instance is not what was received; restore it from a backup."
    )


def data_set_start(content: bytes) -> int:
    """Where the file meta information ends; its first element holds its length (PS3.10 section 7.1)."""
    return _META_START + int.from_bytes(content[_META_START - 4 : _META_START], "little")


def parse(content: bytes) -> Dataset:
    """The whole data set; a deflated one may inflate to its pixels and a modest part beside them."""
    with malformed():
        meta = read_meta(content)
        if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
            return dcmread(BytesIO(content))
        header = _parse_header(content, _BESIDE_PIXELS)[0]
        limit = pixel_bytes(header) * frame_count(header) + _BESIDE_PIXELS
        return read_deflated(meta, memoryview(content)[data_set_start(content) :], limit, header_only=False)[0]


def _parse_header(content: bytes, limit: int) -> tuple[Dataset, int]:
    """The data set up to its pixel data, and to how many bytes it was inflated: at most ``limit``."""
    with malformed():
        meta = read_meta(content)
        if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
            return dcmread(BytesIO(content), stop_before_pixels=True), 0
        return read_deflated(meta, memoryview(content)[data_set_start(content) :], limit, header_only=True)


def read_meta(content: bytes) -> FileMetaDataset:
    """The file meta information, from at least as many bytes as it has."""
    return dcmread(BytesIO(content[: data_set_start(content)]), stop_before_pixels=True).file_meta


def no_pixel_data() -> UnusableInput:
    """An instance has no pixels."""
    return UnusableInput("no-pixel-data", "An instance of the series carries no Pixel Data; send the series again.")


def short_pixel_data() -> UnusableInput:
    """An instance has too few pixels."""
    return UnusableInput(
        "short-pixel-data", "The Pixel Data of an instance is shorter than its header says; send the series again."
    )


def _undecodable(dataset: Dataset) -> str:
    """The sentence names the transfer syntax only when the Standard does; else it is the peer's own text."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax.name == str(syntax):
        return "The Pixel Data of an instance is in an unknown transfer syntax; send it uncompressed."
    return f"The Pixel Data of an instance, sent as {syntax.name}, cannot be decoded; send it uncompressed."


def malformed() -> AbstractContextManager[None]:
    """Whatever a library raises on bytes that are no data set becomes ``unreadable``."""
    return _named("unreadable", "An instance of the series cannot be read as DICOM; send it again.")


@contextmanager
def _named(code: str, sentence: str) -> Iterator[None]:
    """Give malformed bytes one name; what the library says of them may repeat a patient's data, so it is dropped."""
    try:
        yield
    except UnusableInput:
        raise
    except _MALFORMED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not pydicom's
        raise UnusableInput(code, sentence) from None
