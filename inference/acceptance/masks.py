"""Masks image by image: of a DICOM Segmentation, or of an .npz file, and how much two of them overlap."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import InvalidAcceptanceSet
from storage.domain.plain_file import open_plain

Place = tuple[str, int]  # SOP Instance UID of an image, and its frame from 1 on; 1 for an instance that is one image
Mask = Mapping[Place, NDArray[np.bool_]]
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"  # Segmentation Storage
BROKEN = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError),  # NotImplementedError too
    *(zipfile.BadZipFile, zlib.error, pydicom.errors.InvalidDicomError),
)
_SIZE_LIMIT = 4 * 2**30  # bytes of the arrays of an .npz


def read_mask(path: Path, label: str | None) -> Mask:
    """The mask in a reference file; ``label`` is the Segment Label where a DICOM Segmentation has several segments.

    Raises:
        InvalidAcceptanceSet: the file is neither, or does not say which segment is meant.
    """
    try:
        with open_plain(path) as file:
            if path.suffix == ".npz":
                return _arrays(path, file)
            segmentation = pydicom.dcmread(file)
        if segmentation.SOPClassUID != _SEGMENTATION:
            raise InvalidAcceptanceSet(f"{path} is no DICOM Segmentation; give one, or an .npz.")
        return mask_of(segmentation, label)
    except BROKEN:
        raise InvalidAcceptanceSet(f"{path} cannot be read as a mask; give a DICOM Segmentation or an .npz.") from None


def _arrays(path: Path, file: BinaryIO) -> Mask:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > _SIZE_LIMIT:
            raise InvalidAcceptanceSet(
                f"{path} holds more than {_SIZE_LIMIT} bytes; give a DICOM Segmentation instead."
            )
    found: dict[Place, NDArray[np.bool_]] = {}
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        for uid in arrays.files:
            array = arrays[uid]
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():  # NaN is not 0, and no structure
                raise ValueError
            values = array != 0
            frames = values[np.newaxis] if values.ndim == 2 else values
            if frames.ndim != 3:
                raise ValueError
            found.update({(uid, number): frame for number, frame in enumerate(frames, 1)})
    return found


def mask_of(segmentation: Dataset, label: str | None) -> Mask:
    """The voxels of one segment of a BINARY Segmentation (PS3.3 section C.8.20), image by image.

    Raises:
        InvalidAcceptanceSet: it is not BINARY, or which segment is meant does not follow from ``label``.
    """
    _require_binary(segmentation)
    numbers = [int(one.SegmentNumber) for one in segmentation.SegmentSequence if label in (None, str(one.SegmentLabel))]
    if len(numbers) != 1:
        raise InvalidAcceptanceSet(
            f"The reference has {len(numbers)} segments that could be meant; name one with reference_label."
        )
    return _masks_by_number(segmentation)[numbers[0]]


def masks_of(segmentation: Dataset) -> dict[str, Mask]:
    """The voxels of each segment of a BINARY Segmentation by its Segment Label, image by image.

    Raises:
        InvalidAcceptanceSet: it is not BINARY, or two segments have the same label.
    """
    _require_binary(segmentation)
    labels = {int(one.SegmentNumber): str(one.SegmentLabel) for one in segmentation.SegmentSequence}
    if len(set(labels.values())) < len(segmentation.SegmentSequence):
        raise InvalidAcceptanceSet("Two segments of a Segmentation have the same label; give each its own.")
    masks = _masks_by_number(segmentation)
    return {label: masks[number] for number, label in labels.items()}


class _Packed(Mapping[Place, NDArray[np.bool_]]):
    """The voxels of a segment, unpacked image by image when they are asked for: so few of them are in memory."""

    def __init__(self, frame: Callable[[int], NDArray[np.bool_]]) -> None:
        self._frame = frame
        self.numbers: dict[Place, list[int]] = {}  # of the frames that show an image, from 0 on

    def __getitem__(self, place: Place) -> NDArray[np.bool_]:
        """The voxels on one image."""
        first, *others = self.numbers[place]
        found = self._frame(first)
        for number in others:
            found = found | self._frame(number)
        return found

    def __iter__(self) -> Iterator[Place]:
        """The images on which it has a frame."""
        return iter(self.numbers)

    def __len__(self) -> int:
        """How many these are."""
        return len(self.numbers)


def _require_binary(segmentation: Dataset) -> None:
    if segmentation.get("SegmentationType") != "BINARY":
        raise InvalidAcceptanceSet("A reference is a BINARY Segmentation; this one is not.")


def _masks_by_number(segmentation: Dataset) -> dict[int, _Packed]:
    """By Segment Number, in one pass over the frames."""
    frame = _frames(segmentation)
    masks = {int(one.SegmentNumber): _Packed(frame) for one in segmentation.SegmentSequence}
    for number, groups in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        segment = int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if segment not in masks:
            continue
        for place in _places(groups):
            masks[segment].numbers.setdefault(place, []).append(number)
    return masks


def _frames(segmentation: Dataset) -> Callable[[int], NDArray[np.bool_]]:
    """What gives a frame by its number from 0 on.

    Native pixels are eight in a byte, the first in its lowest bit, and frames begin anywhere in a byte (PS3.5 section
    8.1.1); what is compressed or in big-endian words is decoded at once.
    """
    rows, columns = int(segmentation.Rows), int(segmentation.Columns)
    count, size = len(segmentation.PerFrameFunctionalGroupsSequence), rows * columns
    syntax = segmentation.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated or not syntax.is_little_endian or int(segmentation.BitsAllocated) != 1:
        decoded = segmentation.pixel_array.reshape(count, rows, columns)
        return lambda number: np.asarray(decoded[number] != 0)
    packed = np.frombuffer(segmentation.PixelData, np.uint8)
    if size == 0 or int(segmentation.NumberOfFrames) != count or len(packed) * 8 < count * size:
        raise ValueError

    def unpacked(number: int) -> NDArray[np.bool_]:
        first, skipped = divmod(number * size, 8)
        part = packed[first : -(-(number + 1) * size // 8)]
        bits = np.unpackbits(part, bitorder="little")[skipped : skipped + size]
        return bits.reshape(rows, columns).view(np.bool_)

    return unpacked


def _places(groups: Dataset) -> list[Place]:
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    uid, frames = str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber")
    if frames is None:
        return [(uid, 1)]
    return [(uid, int(frame)) for frame in (frames if isinstance(frames, pydicom.multival.MultiValue) else [frames])]


def dice(one: Mask, other: Mask) -> float:
    """Twice what both have, of what each has; 1 where neither has anything, 0 where images differ in size."""
    voxels = sum(int(np.count_nonzero(frame)) for mask in (one, other) for frame in mask.values())
    shared = 0
    for place in one.keys() & other.keys():
        here, there = one[place], other[place]
        if here.shape != there.shape:
            return 0.0
        shared += int(np.count_nonzero(here & there))
    return 2 * shared / voxels if voxels else 1.0
