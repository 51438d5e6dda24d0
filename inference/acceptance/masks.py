"""Masks image by image: of a DICOM Segmentation, or of an .npz file, and how much two of them overlap."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import InvalidAcceptanceSet

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
        if path.suffix == ".npz":
            return _arrays(path)
        segmentation = pydicom.dcmread(path)
        if segmentation.SOPClassUID != _SEGMENTATION:
            raise InvalidAcceptanceSet(f"{path} is no DICOM Segmentation; give one, or an .npz.")
        return mask_of(segmentation, label)
    except BROKEN:
        raise InvalidAcceptanceSet(f"{path} cannot be read as a mask; give a DICOM Segmentation or an .npz.") from None


def _arrays(path: Path) -> Mask:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > _SIZE_LIMIT:
            raise InvalidAcceptanceSet(
                f"{path} holds more than {_SIZE_LIMIT} bytes; give a DICOM Segmentation instead."
            )
    found: dict[Place, NDArray[np.bool_]] = {}
    with np.load(path, allow_pickle=False) as arrays:
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


def mask_of_part10(part10: bytes, label: str) -> Mask:
    """The mask of one segment of an object that we made; empty where it has no such segment."""
    segmentation = pydicom.dcmread(io.BytesIO(part10))
    if not any(str(one.SegmentLabel) == label for one in segmentation.SegmentSequence):
        return {}
    return mask_of(segmentation, label)


def mask_of(segmentation: Dataset, label: str | None) -> Mask:
    """The voxels of one segment of a BINARY Segmentation (PS3.3 section C.8.20), image by image.

    Raises:
        InvalidAcceptanceSet: it is not BINARY, or which segment is meant does not follow from ``label``.
    """
    if segmentation.get("SegmentationType") != "BINARY":
        raise InvalidAcceptanceSet("A reference is a BINARY Segmentation; this one is not.")
    numbers = [int(one.SegmentNumber) for one in segmentation.SegmentSequence if label in (None, str(one.SegmentLabel))]
    if len(numbers) != 1:
        raise InvalidAcceptanceSet(
            f"The reference has {len(numbers)} segments that could be meant; name one with reference_label."
        )
    pixels = segmentation.pixel_array.reshape(-1, int(segmentation.Rows), int(segmentation.Columns))
    found: dict[Place, NDArray[np.bool_]] = {}
    for frame, groups in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        if int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber) != numbers[0]:
            continue
        for place in _places(groups):
            found[place] = found[place] | (frame != 0) if place in found else frame != 0
    return found


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
        if one[place].shape != other[place].shape:
            return 0.0
        shared += int(np.count_nonzero(one[place] & other[place]))
    return 2 * shared / voxels if voxels else 1.0
