"""From stored instances to headers and pixels, with a limit on what they may cost."""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from inference.errors import UnusableInput
from inference.imaging.deflated import read_deflated, read_deflated_header, read_deflated_pixels
from inference.imaging.frames import frame_count, frame_headers
from inference.imaging.header_items import refuse_too_many_items
from inference.imaging.pixel_format import pixel_format, pixel_formats
from inference.imaging.shared_elements import SharedElements
from inference.stages import work_on_instance
from storage.domain.image_record import ImageRecord
from storage.domain.study import StoredInstance

PIXEL_BUDGET = 4 * 2**30  # bytes of decoded pixels of one series
_BESIDE_PIXELS = 16 * 2**20  # inflated bytes of one deflated data set beside its pixels
_INFLATED_HEADERS = 256 * 2**20  # inflated bytes of all headers of one series, which are held together
_HEAD = 4096  # bytes in which the file meta information that we write ends
_META_START = 144  # preamble, prefix and the group length element (PS3.10 section 7.1)
NATIVE = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)

_NUMBERS = ("InstanceNumber", "SeriesNumber")
_KNOWN = frozenset(str(vr.value) for vr in VR)

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

    An instance of several frames has a header for each of them, in the order of their numbers. Of an instance that was
    recorded when it was imported only the part before its pixels is read and checked here; its pixels are checked
    when they are read.

    Raises:
        UnusableInput: ``missing-object``, ``damaged-object``, ``inflates-too-large``, ``unreadable`` or
            ``no-pixel-data``.
        OSError: a file that is there cannot be read now.
    """
    headers, left, alike, meta_of = [], _INFLATED_HEADERS, SharedElements(), cache(_meta)
    for instance in instances:
        work_on_instance(instance.header.sop_instance_uid)
        if instance.image is None:
            header, inflated = _parse_header(checked_bytes(instance), min(_BESIDE_PIXELS, left))
        else:
            header, inflated = _recorded_header(instance, instance.image, meta_of), 0
        header.buffer = None  # pydicom keeps the whole file here, which nobody reads again
        _drop_unknown(header)
        _drop_odd_numbers(header)
        alike.share(header)
        with malformed():
            headers.extend(frame_headers(header))
        left -= inflated
    return headers


def check_budget(headers: Sequence[Dataset], budget: int = PIXEL_BUDGET) -> None:
    """Refuse a series whose headers promise more pixels than the worker will hold, before anything is decoded.

    Raises:
        UnusableInput: ``too-many-pixels``, or what ``pixel_bytes`` raises.
    """
    if sum(form.size for form in pixel_formats(headers)) > budget:
        raise UnusableInput(
            "too-many-pixels", f"The series has more than {budget} bytes of pixels, which is our limit."
        )


def pixel_bytes(header: Dataset) -> int:
    """Bytes of the decoded pixels of one monochrome image or frame, from its header alone.

    Raises:
        UnusableInput: as ``pixel_format``.
    """
    return pixel_format(header).size


def checked_bytes(instance: StoredInstance) -> bytes:
    """The Part 10 file, whose data set is still the one that was received."""
    try:
        content = instance.path.read_bytes()
    except FileNotFoundError:
        raise missing_object() from None
    if hashlib.sha256(memoryview(content)[data_set_start(content) :]).hexdigest() != instance.sha256:
        raise damaged_object()
    return content


def _recorded_header(
    instance: StoredInstance, record: ImageRecord, meta_of: Callable[[str], FileMetaDataset]
) -> Dataset:
    """The data set up to its pixel data; the file meta information is ours, so nobody need read it."""
    syntax = instance.header.transfer_syntax_uid
    head = BytesIO(_checked_head(instance, record))
    with malformed():
        header = read_dataset(head, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    header.file_meta = meta_of(syntax)
    return header


def _meta(transfer_syntax_uid: str) -> FileMetaDataset:
    """What file meta information tells of the encoding; one for all headers of a series, which nobody changes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return meta


def _checked_head(instance: StoredInstance, record: ImageRecord) -> bytes:
    """The bytes before the pixel data, which are still those that were received."""
    try:
        with instance.path.open("rb", buffering=0) as file:
            content = file.read(_HEAD + record.head_length)
    except FileNotFoundError:
        raise missing_object() from None
    start = data_set_start(content)
    head = content[start : start + record.head_length]
    if hashlib.sha256(head).hexdigest() != record.head_sha256:
        raise damaged_object()
    return head


def _drop_unknown(header: Dataset) -> None:
    """Leave out elements whose VR the Standard does not know: pydicom fails wherever they are first asked for."""
    for tag, element in list(header.items()):
        if element.VR is not None and element.VR not in _KNOWN:
            del header[tag]


def _drop_odd_numbers(header: Dataset) -> None:
    """Leave out numbers of an image or series that are none, such as ``inf``; both may be empty anyway."""
    for keyword in _NUMBERS:
        try:
            int(header.get(keyword) or 0)
        except (TypeError, ValueError, ArithmeticError):
            delattr(header, keyword)


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
        return read_deflated(meta, memoryview(content)[data_set_start(content) :], limit)


def deflated_pixels(content: bytes, size: int) -> memoryview:
    """The pixel data of a deflated file of one image, which may inflate to ``size`` bytes and a modest part beside."""
    with malformed():
        value = read_deflated_pixels(memoryview(content)[data_set_start(content) :], size + _BESIDE_PIXELS)
    if value is None:
        raise no_pixel_data()
    return value


def _parse_header(content: bytes, limit: int) -> tuple[Dataset, int]:
    """The data set up to its pixel data, and to how many bytes it was inflated: at most ``limit``."""
    with malformed():
        meta = read_meta(content)
        if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
            refuse_too_many_items(content, data_set_start(content))
            return dcmread(BytesIO(content), stop_before_pixels=True), 0
        return read_deflated_header(meta, memoryview(content)[data_set_start(content) :], limit)


def read_meta(content: bytes) -> FileMetaDataset:
    """The file meta information, from at least as many bytes as it has."""
    return dcmread(BytesIO(content[: data_set_start(content)]), stop_before_pixels=True).file_meta


def no_pixel_data() -> UnusableInput:
    """An instance has no pixels."""
    return UnusableInput("no-pixel-data", "An instance of the series carries no Pixel Data; send the series again.")


def malformed() -> AbstractContextManager[None]:
    """Whatever a library raises on bytes that are no data set becomes ``unreadable``."""
    return named("unreadable", "An instance of the series cannot be read as DICOM; send it again.")


@contextmanager
def named(code: str, sentence: str) -> Iterator[None]:
    """Give malformed bytes one name; what the library says of them may repeat a patient's data, so it is dropped."""
    try:
        yield
    except UnusableInput:
        raise
    except _MALFORMED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not pydicom's
        raise UnusableInput(code, sentence) from None
