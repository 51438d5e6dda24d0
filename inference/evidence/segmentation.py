"""The segmentation as a BINARY Segmentation object on the grid of its source images (PS3.3 section A.51)."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import (
    MANUFACTURER,
    MODEL_NAME,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.explicit_vr import encoded
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.segment_frames import Frame, Frames
from inference.evidence.segment_parts import derive_dimension_uid, segment_description
from inference.evidence.sources import further_stand_in, one_pixel, stand_in
from storage.domain.result import EvidenceObject, EvidenceRole

Numbers = npt.NDArray[np.uint8]

_ROLE = EvidenceRole.SEGMENTATION


def build_segmentation(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]) -> EvidenceObject:
    """The segments that have a voxel, sparse, frame by frame derived from their source image.

    BINARY in Explicit VR Little Endian on the unchanged source grid with a Derivation Image Sequence in every
    frame is what every reader tried shows at the right place. At least one segment must have a voxel.
    """
    present = [one for one in found if one.number]
    framed = _framed(labels, present)
    seg = _one_frame_for_each_slice(context, framed, [segment_description(context, one) for one in present])
    _name_segment_in_each_frame(seg)
    derive_dimension_uid(seg, context.identity.uid("segmentation-dimensions"))
    items = _item_of_each_slice(seg, context)
    frames = [
        Frame(index, one.segment.number, one.number)
        for one in present
        for index in items  # in the order of the dimension
        if framed[index, one.number - 1]
    ]
    seg.Rows, seg.Columns = labels.shape[1:]
    seg.NumberOfFrames = len(frames)
    del seg.PerFrameFunctionalGroupsSequence, seg.PixelData
    described = Frames(labels, frames, {index: encoded(item) for index, item in items.items()})
    return complete(seg, context, _ROLE, series_description(context, "segmentation"), described)


def _framed(labels: Labels, present: Sequence[FoundSegment]) -> Numbers:
    """Which segment has a frame on which slice, as (slice, segment).

    When Rows * Columns is no multiple of 8, frames share bytes; if their sum is odd, the pad byte that PS3.5
    asks for is more than some readers expect, and OHIF 3.13 shows nothing. Further empty frames mend that. Where
    there are too few frames to add, the length stays.

    For such a matrix OHIF 3.13.2 has a second fault that nothing here can mend: it reads the shared bytes from the
    wrong end and draws frames that do not begin at a byte boundary with their pixels shuffled in groups of eight.
    """
    framed = np.stack([one.areas > 0 for one in present], axis=1).astype(np.uint8)
    missing = _missing_frames(labels[0].size, int(framed.sum()))
    free = np.argwhere(framed.T == 0)[:missing]
    if len(free) == missing:
        framed[free[:, 1], free[:, 0]] = 1
    return framed


def _one_frame_for_each_slice(
    context: EvidenceContext, framed: Numbers, segment_descriptions: Sequence[SegmentDescription]
) -> Segmentation:
    """What highdicom makes of images of one pixel with the first segment of each slice that has any.

    But for pixels and segments everything is as it has to be; the other frames of a slice are like its one here.
    """
    first = np.zeros_like(framed)
    used = np.flatnonzero(framed.any(axis=1))
    first[used, framed[used].argmax(axis=1)] = 1
    return Segmentation(
        source_images=[
            one_pixel(stand_in(context.sources[0])),
            *(one_pixel(further_stand_in(source)) for source in context.sources[1:]),
        ],
        pixel_array=first[:, None, None, :],
        segmentation_type="BINARY",
        segment_descriptions=segment_descriptions,
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


def _item_of_each_slice(seg: Segmentation, context: EvidenceContext) -> dict[int, Dataset]:
    """The functional groups of the frame on each slice, in the order of their positions."""
    slices = {str(source.SOPInstanceUID): index for index, source in enumerate(context.sources)}
    return {
        slices[str(item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)]: item
        for item in sorted(seg.PerFrameFunctionalGroupsSequence, key=_position)
    }


def _position(item: Dataset) -> int:
    """Where the frame stands among the positions; images without places in the patient have one dimension only."""
    values = item.FrameContentSequence[0].DimensionIndexValues
    return int(values[1]) if isinstance(values, Sequence) else 0


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
