"""The values of images, whether each is an instance or a frame of one.

Every byte is checked against what was received in the read that brings it. A single-frame instance is read whole, into
memory that the next one uses again; the file of a multi-frame one is checked once, in pieces, then its frames are read
one by one where they lie. So no more than one image per thread is in memory beside what has been made of them.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless
from pydicom.valuerep import VR

from inference.decoding import pool as decoding_pool
from inference.decoding.pool import FRAME_BUDGET, FRAMES_TOGETHER, DecodingPool, beyond_budget
from inference.errors import UnusableInput
from inference.imaging.encapsulated import Place, frame_places, single_frame
from inference.imaging.frames import frame_count, frame_number
from inference.imaging.luminance import values_into
from inference.imaging.pixel_format import (
    PixelFormat,
    meant_values,
    native_values,
    pixel_format,
    pixel_formats,
    short_pixel_data,
)
from inference.imaging.series_reader import (
    NATIVE,
    checked_bytes,
    damaged_object,
    data_set_start,
    deflated_pixels,
    malformed,
    missing_object,
    no_pixel_data,
    parse,
    pixel_bytes,
    read_meta,
)
from storage.domain.study import StoredInstance

_READERS = 4  # threads: reading, digests and decoding let others run
_HEAD = 2**16  # bytes in which file meta information ends
_STEP = 2**20  # bytes read at a time to check a file
_PIXELS_TOGETHER = 2**21  # at most, of images that are decoded together; one may have more
_BYTE = 8  # bits
_CAPSULE = 12  # bytes of the head of an encapsulated Pixel Data element (PS3.5 section 7.1.2)
_PIXEL_DATA = 0x7FE00010
_PIXEL_DATA_OF_ANY_KIND = 0x7FE00008
_UNDEFINED = 0xFFFFFFFF
_EXTENDED_OFFSETS = 0x7FE00001


class ImageValues:
    """The values of images of stored instances, read when they are asked for, by any number of threads."""

    def __init__(
        self, instances: Mapping[str, StoredInstance], decoders: Callable[[], DecodingPool] = decoding_pool.shared
    ) -> None:
        """``instances`` are found by SOP Instance UID; ``decoders`` is asked only when something is compressed."""
        self._instances = instances
        self._decoders = decoders
        self._opened: dict[str, _Frames] = {}
        self._opening = threading.Lock()
        self._memory = threading.local()

    def of(self, header: Dataset) -> NDArray[np.float32]:
        """The values of one image after the Modality LUT (PS3.3 section C.11.1), as (row, column).

        Those of a colour image are its luminance, see ``inference.imaging.luminance``; whether colour is wanted is
        asked when a series is selected.

        Raises:
            UnusableInput: ``missing-object``, ``damaged-object``, ``inflates-too-large``, ``unreadable``,
                ``no-pixel-data``, ``short-pixel-data``, ``undecodable-pixel-data``, ``not-monochrome``,
                ``modality-lut``, ``palette`` or ``not-finite``.
            OSError: a file that is there cannot be read now.
        """
        form = pixel_format(header)
        values = np.empty(form.shape, np.float32)
        self._read([header], [form], [values])
        return values

    def fill(self, headers: Sequence[Dataset], values: NDArray[np.float32]) -> None:
        """Put the values of images into an array of (image, row, column), several at a time.

        Raises:
            UnusableInput: as ``of``; that of the first image that has a fault.
            OSError: as ``of``.
        """
        forms = pixel_formats(headers)
        if any(form.shape != values.shape[1:] for form in forms):
            raise UnusableInput("mixed-size", "The slices differ in Rows or Columns, so they are no volume.")
        together = _together(len(headers), values[:1].size)
        starts = range(0, len(headers), together)
        readers = ThreadPoolExecutor(_READERS, "reader")
        try:
            for _ in readers.map(
                self._read,
                [headers[start : start + together] for start in starts],
                [forms[start : start + together] for start in starts],
                [values[start : start + together] for start in starts],
            ):
                pass
        finally:
            readers.shutdown(cancel_futures=True)

    def _read(
        self, headers: Sequence[Dataset], forms: Sequence[PixelFormat], values: Iterable[NDArray[np.float32]]
    ) -> None:
        """Read a few images; those that are compressed wait until all were read, because they are decoded together."""
        waiting: list[_Waiting] = []
        try:
            for header, form, target in zip(headers, forms, values, strict=True):
                encoded = self._encoded(header, form)
                if encoded.syntax in NATIVE:
                    order = ">" if encoded.syntax == ExplicitVRBigEndian else "<"
                    values_into(native_values(form, encoded.content, order), form, header, target)
                else:
                    waiting.append(_Waiting(header, form, encoded, target))
        finally:
            self._decode(waiting)  # what is wrong with an earlier image is said first

    def _decode(self, waiting: Sequence["_Waiting"]) -> None:
        for syntax, some in groupby(waiting, lambda one: one.encoded.syntax):
            images = list(some)
            frames = [(image.form, image.encoded.content) for image in images]
            with self._decoders().decoded_together(syntax, frames, partial(_name, images)) as decoded:
                for image, samples in zip(images, decoded, strict=True):
                    meant = image.form.signed or syntax == RLELossless
                    pixels = meant_values(image.form, samples) if meant else samples
                    values_into(pixels, image.form, image.header, image.target)

    def _encoded(self, header: Dataset, form: PixelFormat) -> "_Encoded":
        """The stored samples of an image, or its frame; native ones in memory that this thread's next image takes."""
        instance, number = self._instances[str(header.SOPInstanceUID)], frame_number(header)
        return self._whole(instance, form) if number is None else self._frames(instance).frame(number)

    def _frames(self, instance: StoredInstance) -> "_Frames":
        uid = instance.header.sop_instance_uid
        with self._opening:  # others wait: most want frames of the same instance
            if uid not in self._opened:
                self._opened[uid] = _open(instance)
            return self._opened[uid]

    def _whole(self, instance: StoredInstance, form: PixelFormat) -> "_Encoded":
        """The pixel data of a single-frame instance."""
        record, syntax = instance.image, UID(instance.header.transfer_syntax_uid)
        if record is None or record.number_of_frames != 1 or _may_be_swapped(syntax, form):
            return _parsed(instance, form)
        data_set = self._checked(instance)
        if record.pixel_offset is None or record.pixel_length is None:
            return _Encoded(syntax, single_frame(data_set[record.head_length + _CAPSULE :]))
        return _Encoded(syntax, data_set[record.pixel_offset : record.pixel_offset + record.pixel_length])

    def _checked(self, instance: StoredInstance) -> memoryview:
        """The data set as it was received, in memory that this thread uses again for the next one."""
        try:
            with instance.path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                memory = self._room(size)
                read = 0
                while read < size and (step := file.readinto(memory[read:])):
                    read += step
        except FileNotFoundError:
            raise missing_object() from None
        data_set = memory[data_set_start(bytes(memory[:_HEAD])) : read]
        if hashlib.sha256(data_set).hexdigest() != instance.sha256:
            raise damaged_object()
        return data_set

    def _room(self, size: int) -> memoryview:
        memory: memoryview | None = getattr(self._memory, "bytes", None)
        if memory is None or len(memory) < size:
            memory = self._memory.bytes = memoryview(bytearray(size))
        return memory[:size]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """One image as it stands in a file: its native samples, or its frame without the capsule."""

    syntax: UID
    content: bytes | memoryview


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A compressed image that was read, and where its values shall be."""

    header: Dataset
    form: PixelFormat
    encoded: _Encoded
    target: NDArray[np.float32]


def _name(images: Sequence[_Waiting], place: int) -> str:
    """What an operator calls an image: the numbers that viewers show of it, without anything of the patient."""
    header = images[place].header
    named = "an instance"
    number, series, frame = _number(header, "InstanceNumber"), _number(header, "SeriesNumber"), frame_number(header)
    if number is not None:
        named = f"instance {number}"
    if series is not None:
        named = f"{named} of series {series}"
    return f"frame {frame} of {named}" if frame is not None else named


def _number(header: Dataset, keyword: str) -> int | None:
    try:
        return int(header.get(keyword))
    except (TypeError, ValueError):  # there is none, or it is no number
        return None


def _together(images: int, pixels: int) -> int:
    """How many images a thread reads at a time: a few, so that each has its share and memory stays small."""
    share = images // (2 * _READERS)
    return max(1, min(FRAMES_TOGETHER, share, _PIXELS_TOGETHER // max(1, pixels)))


def _parsed(instance: StoredInstance, form: PixelFormat) -> _Encoded:
    """The pixel data of a single-frame instance about which nothing was recorded."""
    content = checked_bytes(instance)
    if UID(instance.header.transfer_syntax_uid) == DeflatedExplicitVRLittleEndian:
        return _Encoded(DeflatedExplicitVRLittleEndian, deflated_pixels(content, form.size))
    dataset = parse(content)
    pixel_bytes(dataset)
    with malformed():
        pixels = dataset.get("PixelData")
    if not isinstance(pixels, bytes):
        raise no_pixel_data()
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if _may_be_swapped(syntax, form) and dataset["PixelData"].VR == VR.OW:
        pixels = np.frombuffer(pixels, np.uint16, len(pixels) // 2).byteswap().tobytes()
    return _Encoded(syntax, pixels if syntax in NATIVE else single_frame(memoryview(pixels)))


def _may_be_swapped(syntax: UID, form: PixelFormat) -> bool:
    """Whether samples of a byte may stand in words, which big endian turns (PS3.5 section 8.1.1)."""
    return syntax == ExplicitVRBigEndian and form.bits_allocated == _BYTE


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of an instance: ``source`` is its file, or its inflated pixel data.

    ``image`` has the attributes that decoding needs, ``offset`` is where Pixel Data begins, ``length`` its bytes or
    ``None`` where it is encapsulated; then ``places`` are where the fragments of each frame lie.
    """

    source: Path | bytes
    image: Dataset
    offset: int
    length: int | None
    places: Sequence[Sequence[Place]] = ()

    def frame(self, number: int) -> _Encoded:
        """A frame as it stands in the file; the first is 1.

        Raises:
            UnusableInput: ``too-many-pixels``: it is larger than any that is decoded.
        """
        syntax = UID(self.image.file_meta.TransferSyntaxUID)
        with self._opened() as file:
            if self.length is None:
                return _Encoded(syntax, self._encapsulated(file, self.places[number - 1]))
            size = pixel_bytes(self.image)
            file.seek(self.offset + (number - 1) * size)
            return _Encoded(syntax, file.read(size))

    def _opened(self) -> BinaryIO:
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def _encapsulated(self, file: BinaryIO, places: Sequence[Place]) -> bytes:
        """One frame, put together from its fragments."""
        if sum(length for _, length in places) > FRAME_BUDGET:
            raise beyond_budget()
        fragments = []
        for place, length in places:
            file.seek(place)
            fragments.append(file.read(length))
        return b"".join(fragments)

    def located(self) -> "_Frames":
        """The same with the places of its frames. Raises UnusableInput."""
        table = self.image.get_item(_EXTENDED_OFFSETS)
        with self._opened() as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(self.offset)
            extended = bytes(table.value) if table is not None and table.value else None
            return replace(self, places=frame_places(file, size, frame_count(self.image), extended))


def _open(instance: StoredInstance) -> _Frames:
    """Check the file of a multi-frame instance against what was received and find its pixels."""
    try:
        with instance.path.open("rb") as file:
            head = file.read(_HEAD)
            with malformed():
                meta = read_meta(head)
            if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
                return _inflated(parse(checked_bytes(instance)))
            start = data_set_start(head)
            _check(file, start, instance.sha256)
            file.seek(start)
            frames = _located(file, instance.path, UID(meta.TransferSyntaxUID))
    except FileNotFoundError:
        raise missing_object() from None
    frames.image.file_meta = meta
    return _complete(frames)


def _check(file: BinaryIO, start: int, sha256: str) -> None:
    digest = hashlib.sha256()
    file.seek(start)
    while piece := file.read(_STEP):
        digest.update(piece)
    if digest.hexdigest() != sha256:
        raise damaged_object()


def _located(file: BinaryIO, path: Path, syntax: UID) -> _Frames:
    found: list[tuple[int, int, str | None]] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag == _PIXEL_DATA:
            found.append((file.tell(), length, vr))
        return int(tag) >= _PIXEL_DATA_OF_ANY_KIND

    with malformed():
        described = read_dataset(
            file,
            is_implicit_VR=syntax.is_implicit_VR,
            is_little_endian=syntax.is_little_endian,
            stop_when=at_pixels,
        )
    if not found:
        raise no_pixel_data()
    offset, length, vr = found[0]
    if syntax == ExplicitVRBigEndian and vr == VR.OW and described.get("BitsAllocated") == _BYTE:
        raise UnusableInput(
            "undecodable-pixel-data", "The frames of an instance are bytes in big-endian words, which is not read here."
        )
    return _Frames(path, _pixel_attributes(described), offset, None if length == _UNDEFINED else length)


def _inflated(dataset: Dataset) -> _Frames:
    if dataset.get("PixelData") is None:
        raise no_pixel_data()
    image = _pixel_attributes(dataset)
    image.file_meta = dataset.file_meta
    return _complete(_Frames(dataset.PixelData, image, 0, len(dataset.PixelData)))


def _pixel_attributes(dataset: Dataset) -> Dataset:
    """What describes the pixels, without the functional groups, and where encapsulated frames begin."""
    image = Dataset()
    for tag, element in dataset.items():  # as they were read, not converted
        if tag.group == 0x0028 or tag == _EXTENDED_OFFSETS:
            image[tag] = element
    return image


def _complete(frames: _Frames) -> _Frames:
    """The frames, of which none is missing.

    Raises:
        UnusableInput: ``short-pixel-data``, or what ``pixel_bytes`` raises.
    """
    size = pixel_bytes(frames.image) * frame_count(frames.image)
    native = frames.image.file_meta.TransferSyntaxUID in NATIVE
    if native != (frames.length is not None):
        raise UnusableInput("undecodable-pixel-data", "The Pixel Data of an instance is not as its header says.")
    if frames.length is not None and frames.length < size:
        raise short_pixel_data()
    return frames if native else frames.located()
