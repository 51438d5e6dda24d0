"""The segmentation as a BINARY Segmentation object on the grid of its source images (PS3.3 section A.51)."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import numpy.typing as npt
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import (
    LONG_STRING,
    MANUFACTURER,
    MODEL_NAME,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.sources import stand_in
from storage.domain.result import EvidenceObject, EvidenceRole

Numbers = npt.NDArray[np.uint8]

_ROLE = EvidenceRole.SEGMENTATION


def build_segmentation(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]) -> EvidenceObject:
    """The segments that have a voxel, sparse, frame by frame derived from their source image.

    BINARY in Explicit VR Little Endian on the unchanged source grid with a Derivation Image Sequence in every
    frame is what every reader tried shows at the right place. At least one segment must have a voxel.
    """
    present = [one for one in found if one.number]
    numbers, placeholders = _with_placeholders(_renumbered(labels, present), len(present))
    description = series_description(context, "segmentation")
    seg = Segmentation(
        source_images=[stand_in(source) for source in context.sources],
        pixel_array=numbers,
        segmentation_type="BINARY",
        segment_descriptions=[_segment_description(context, one) for one in present],
        series_instance_uid=context.identity.uid("segmentation-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("segmentation"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=service_version(),
        device_serial_number=context.identity.service_serial_number(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_SEGMENTATION",
        content_description=context.mark,
        contributing_equipment=[algorithm_equipment(context)],
    )
    _name_segment_in_each_frame(seg)
    _clear_placeholders(seg, context, placeholders)
    _derive_dimension_uid(seg, context)
    return complete(seg, context, _ROLE, description)


def _renumbered(labels: Labels, present: Sequence[FoundSegment]) -> Numbers:
    table = np.zeros(256, np.uint8)
    for one in present:
        table[one.segment.number] = one.number
    return table[labels]


def _segment_description(context: EvidenceContext, one: FoundSegment) -> SegmentDescription:
    algorithm, segment, finding = context.algorithm, one.segment, one.finding
    return SegmentDescription(
        segment_number=one.number,
        segment_label=segment.label[:LONG_STRING],
        segmented_property_category=item_code(segment.category),
        segmented_property_type=item_code(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name[:LONG_STRING],
            family=item_code(algorithm.family),
            version=algorithm.version[:LONG_STRING],
            source=algorithm.manufacturer[:LONG_STRING],
            parameters={
                "artifact": f"sha256:{algorithm.artifact_sha256}",
                "manifest": f"sha256:{algorithm.manifest_sha256}",
            },
        ),
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_identifier,
        anatomic_regions=[item_code(segment.site)] if segment.site is not None else None,
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )


def _with_placeholders(numbers: Numbers, segment_count: int) -> tuple[Numbers, list[tuple[int, int, int]]]:
    """Make highdicom write some further frames, so that the bit-packed Pixel Data has an even length by itself.

    When Rows * Columns is no multiple of 8, frames share bytes; if their sum is odd, the pad byte that PS3.5
    asks for is more than some readers expect, and OHIF 3.13 shows nothing. Further empty frames mend that. highdicom
    leaves empty frames out, so each gets one voxel here, as (slice, segment number, index in the slice), to be
    cleared in the finished object. Where there are too few frames to add, the length stays.

    For such a matrix OHIF 3.13.2 has a second fault that nothing here can mend: it reads the shared bytes from the
    wrong end and draws frames that do not begin at a byte boundary with their pixels shuffled in groups of eight.
    """
    slices, rows, columns = numbers.shape
    taken = {(index, int(value)) for index in range(slices) for value in np.unique(numbers[index]) if value}
    missing = _missing_frames(rows * columns, len(taken))
    if missing == 0:
        return numbers, []
    padded = numbers.copy()
    placeholders: list[tuple[int, int, int]] = []
    for segment in range(1, segment_count + 1):
        for index in range(slices):
            free = np.flatnonzero(padded[index] == 0)
            if len(placeholders) == missing:
                return padded, placeholders
            if (index, segment) not in taken and free.size:
                padded[index].flat[free[0]] = segment
                placeholders.append((index, segment, int(free[0])))
    return numbers, []


@cache
def _missing_frames(pixels: int, frames: int) -> int:
    """How many more frames of so many pixels make the bit-packed length in bytes even."""
    more = 0
    while pixels % 8 and -(-pixels * (frames + more) // 8) % 2:
        more += 1
    return more


def _name_segment_in_each_frame(seg: Segmentation) -> None:
    # highdicom moves this group to the shared ones when there is a single segment; readers that look for it in
    # each frame are many, and the Standard allows both places (PS3.3 section C.8.20.3).
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            frame.SegmentIdentificationSequence = deepcopy(shared.SegmentIdentificationSequence)
        del shared.SegmentIdentificationSequence


def _clear_placeholders(
    seg: Segmentation, context: EvidenceContext, placeholders: Sequence[tuple[int, int, int]]
) -> None:
    if not placeholders:
        return
    frames = {
        (
            str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID),
            int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
        ): index
        for index, frame in enumerate(seg.PerFrameFunctionalGroupsSequence)
    }
    packed = bytearray(seg.PixelData)
    for slice_index, segment, pixel in placeholders:
        frame = frames[str(context.sources[slice_index].SOPInstanceUID), segment]
        byte, bit = divmod(frame * seg.Rows * seg.Columns + pixel, 8)
        packed[byte] &= ~(1 << bit) & 0xFF
    seg.PixelData = bytes(packed)


def _derive_dimension_uid(seg: Segmentation, context: EvidenceContext) -> None:
    # highdicom draws this one at random.
    uid = context.identity.uid("segmentation-dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
