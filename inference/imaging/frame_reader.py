"""The values of images, whether each is an instance or a frame of one.

The file of a multi-frame instance is checked once, then its frames are read one by one where they lie, so that no more
than one of them is in memory beside what has been made of them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from inference.errors import UnusableInput
from inference.imaging.frames import frame_count, frame_number
from inference.imaging.series_reader import (
    NATIVE,
    checked_bytes,
    damaged_object,
    data_set_start,
    decoded,
    malformed,
    missing_object,
    no_pixel_data,
    parse,
    pixel_bytes,
    read_meta,
    read_values,
    rescaled,
    short_pixel_data,
)
from storage.domain.study import StoredInstance

_HEAD = 2**16  # bytes in which file meta information ends
_STEP = 2**20  # bytes read at a time to check a file
_PIXEL_DATA = 0x7FE00010
_PIXEL_DATA_OF_ANY_KIND = 0x7FE00008
_UNDEFINED = 0xFFFFFFFF
_EXTENDED_OFFSETS = (0x7FE00001, 0x7FE00002)


class ImageValues:
    """The values of images of stored instances, read when they are asked for."""

    def __init__(self, instances: Mapping[str, StoredInstance]) -> None:
        """``instances`` are found by SOP Instance UID."""
        self._instances = instances
        self._opened: dict[str, _Frames] = {}

    def of(self, header: Dataset) -> NDArray[np.float32]:
        """The values of one image after the Modality LUT (PS3.3 section C.11.1), as (row, column).

        Raises:
            UnusableInput: as ``read_values``.
            OSError: a file that is there cannot be read now.
        """
        uid, number = str(header.SOPInstanceUID), frame_number(header)
        if number is None:
            return read_values(self._instances[uid], header)
        if uid not in self._opened:
            self._opened[uid] = _open(self._instances[uid])
        return rescaled(self._opened[uid].pixels(number), header)


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of an instance: ``source`` is its file, or its inflated pixel data.

    ``image`` has the attributes that decoding needs, ``offset`` is where Pixel Data begins, ``length`` its bytes or
    ``None`` where it is encapsulated.
    """

    source: Path | bytes
    image: Dataset
    offset: int
    length: int | None

    def pixels(self, number: int) -> NDArray[np.generic]:
        """The stored values of a frame, as (row, column); the first frame is 1.

        Raises:
            UnusableInput: ``short-pixel-data`` or ``undecodable-pixel-data``.
        """
        image = Dataset()
        image.update(self.image)
        image.pop("NumberOfFrames", None)
        image.file_meta = self.image.file_meta
        with self._opened() as file:
            if self.length is None:
                image.PixelData = self._encapsulated(file, number)
                image["PixelData"].VR = "OB"
            else:
                size = pixel_bytes(image)
                file.seek(self.offset + (number - 1) * size)
                image.PixelData = file.read(size)
                if len(image.PixelData) < size:
                    raise short_pixel_data()
        return decoded(image)

    def _opened(self) -> BinaryIO:
        return BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def _encapsulated(self, file: BinaryIO, number: int) -> bytes:
        """One frame in a capsule of its own."""
        file.seek(self.offset)
        tables = [self.image.get_item(tag) for tag in _EXTENDED_OFFSETS]
        offsets = tuple(bytes(one.value) for one in tables if one is not None and one.value)
        with malformed():
            frame = get_frame(
                file,
                number - 1,
                number_of_frames=frame_count(self.image),
                extended_offsets=(offsets[0], offsets[1]) if len(offsets) == len(_EXTENDED_OFFSETS) else None,
            )
            return encapsulate([frame])


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
    found: list[tuple[int, int]] = []

    def at_pixels(tag: BaseTag, _: str | None, length: int) -> bool:
        if tag == _PIXEL_DATA:
            found.append((file.tell(), length))
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
    offset, length = found[0]
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
        if tag.group == 0x0028 or tag in _EXTENDED_OFFSETS:
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
    return frames
