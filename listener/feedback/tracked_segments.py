"""The segments of a Segmentation by their Tracking UID, each as digests of its frames (PS3.3 section C.8.20)."""

import hashlib
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from listener.feedback.bounded_reading import NotPlain

_DECIMALS = 2  # of a position in mm


@dataclass(frozen=True, slots=True)
class TrackedSegment:
    """What a segment is, and the digest of each of its frames that has anything in it, by its place."""

    meaning: tuple[str, ...]
    frames: dict[tuple[Any, ...], bytes]


def segment_uids(data_set: Dataset) -> dict[int, str]:
    """By Segment Number the Tracking UID (0062,0021), of those that have one."""
    return {
        int(segment.SegmentNumber): str(segment.TrackingUID)
        for segment in data_set.get("SegmentSequence") or ()
        if segment.get("TrackingUID")
    }


def grid(data_set: Dataset) -> tuple[Any, ...]:
    """What two segmentations must share before their frames can be compared bit by bit."""
    shared = data_set.SharedFunctionalGroupsSequence[0]
    turned = _first(shared, "PlaneOrientationSequence")
    measures = _first(shared, "PixelMeasuresSequence")
    orientation = turned.get("ImageOrientationPatient") if turned is not None else None
    spacing = measures.get("PixelSpacing") if measures is not None else None
    return (
        str(data_set.SegmentationType),
        int(data_set.Rows),
        int(data_set.Columns),
        int(data_set.BitsAllocated),
        tuple(round(float(value), 4) for value in orientation or ()),
        tuple(round(float(value), 4) for value in spacing or ()),
    )


def tracked_segments(data_set: Dataset, pixels: bytes) -> dict[str, TrackedSegment]:
    """Every segment with a Tracking UID.

    Raises:
        NotPlain: it is no segmentation with a frame for each segment and place, or has fewer pixels than it says.
    """
    if data_set.SegmentationType not in ("BINARY", "FRACTIONAL") or data_set.BitsAllocated not in (1, 8):
        raise NotPlain
    uids = segment_uids(data_set)
    meanings = {int(one.SegmentNumber): _meaning(one) for one in data_set.SegmentSequence}
    found = {uid: TrackedSegment(meanings[number], {}) for number, uid in uids.items()}
    bits = int(data_set.Rows) * int(data_set.Columns) * int(data_set.BitsAllocated)
    per_frame = data_set.PerFrameFunctionalGroupsSequence
    if len(per_frame) * bits > len(pixels) * 8:
        raise NotPlain
    shared = data_set.SharedFunctionalGroupsSequence[0]
    for index, groups in enumerate(per_frame):
        identification = _first(groups, "SegmentIdentificationSequence")
        if identification is None:
            identification = _first(shared, "SegmentIdentificationSequence")
        if identification is None:
            raise NotPlain
        uid = uids.get(int(identification.ReferencedSegmentNumber))
        digest = _digest(pixels, index * bits, bits)
        if uid is not None and digest is not None:
            found[uid].frames[_place(groups)] = digest
    return found


def _digest(pixels: bytes, first_bit: int, bits: int) -> bytes | None:
    """Of one frame, wherever in a byte it begins (PS3.5 section 8.1.1); ``None`` of one without a voxel."""
    first, last = first_bit // 8, (first_bit + bits + 7) // 8
    frame = int.from_bytes(pixels[first:last], "little") >> (first_bit % 8)
    frame &= (1 << bits) - 1
    return hashlib.sha256(frame.to_bytes((bits + 7) // 8, "little")).digest() if frame else None


def _place(groups: Dataset) -> tuple[Any, ...]:
    """Where a frame lies: its position in the patient, or the image that it was drawn on."""
    position = _first(groups, "PlanePositionSequence")
    if position is not None and position.get("ImagePositionPatient"):
        return tuple(round(float(value), _DECIMALS) + 0.0 for value in position.ImagePositionPatient)
    derivation = _first(groups, "DerivationImageSequence")
    source = _first(derivation, "SourceImageSequence") if derivation is not None else None
    if source is None:
        raise NotPlain
    return str(source.ReferencedSOPInstanceUID), str(source.get("ReferencedFrameNumber", ""))


def _meaning(segment: Dataset) -> tuple[str, ...]:
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    return str(kind.CodeValue), str(kind.CodingSchemeDesignator)


def _first(item: Dataset, keyword: str) -> Dataset | None:
    sequence = item.get(keyword)
    return sequence[0] if sequence else None
