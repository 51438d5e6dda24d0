"""What a segmentation with frames where there are voxels says of itself, but for its pixels (PS3.3 section A.51).

highdicom is given images of one pixel; the frames' descriptions and pixels are written by us, one after the other.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, MODEL_NAME, algorithm_equipment
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.explicit_vr import encoded
from inference.evidence.references import name_frames, places_by_stand_in
from inference.evidence.segment_findings import FoundSegment
from inference.evidence.segment_frames import Frame
from inference.evidence.segment_parts import derive_dimension_uid, segment_description
from inference.evidence.sources import image_stand_ins, one_pixel

Framed = npt.NDArray[np.uint8]  # as (slice, segment): 1 where the segment has a frame on the slice


def sparse_segmentation(
    context: EvidenceContext, framed: Framed, present: Sequence[FoundSegment], name: str, kind: Mapping[str, Any]
) -> tuple[Segmentation, list[Frame], dict[int, bytes]]:
    """The object, its frames in their order, and the item that describes a frame on each slice.

    ``present`` are the segments in the order of ``framed``, numbered from 1; ``name`` is what the object's UIDs are
    derived from; ``kind`` is what highdicom wants to know of the segmentation's type.
    """
    seg = _one_frame_for_each_slice(context, framed, present, name, kind)
    _name_segment_in_each_frame(seg)
    derive_dimension_uid(seg, context.identity.uid(f"{name}-dimensions"))
    items = _item_of_each_slice(seg, context)
    frames = [
        Frame(index, one.segment.number, one.number)
        for one in present
        for index in items  # in the order of the dimension
        if framed[index, one.number - 1]
    ]
    seg.Rows, seg.Columns = context.sources[0].Rows, context.sources[0].Columns
    seg.NumberOfFrames = len(frames)
    del seg.PerFrameFunctionalGroupsSequence, seg.PixelData
    return seg, frames, {index: encoded(item) for index, item in items.items()}


def _one_frame_for_each_slice(
    context: EvidenceContext, framed: Framed, present: Sequence[FoundSegment], name: str, kind: Mapping[str, Any]
) -> Segmentation:
    """What highdicom makes of images of one pixel with the first segment of each slice that has any.

    But for pixels and segments everything is as it has to be; the other frames of a slice are like its one here.
    """
    first = np.zeros_like(framed)
    used = np.flatnonzero(framed.any(axis=1))
    first[used, framed[used].argmax(axis=1)] = 1
    return Segmentation(
        source_images=[one_pixel(image) for image in image_stand_ins(context.sources)],
        pixel_array=first[:, None, None, :],
        segment_descriptions=[segment_description(context, one) for one in present],
        series_instance_uid=context.identity.uid(f"{name}-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid(name),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=service_version(),
        device_serial_number=context.identity.service_serial_number(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_SEGMENTATION",
        content_description=context.mark,
        contributing_equipment=[algorithm_equipment(context)],
        **kind,
    )


def _item_of_each_slice(seg: Segmentation, context: EvidenceContext) -> dict[int, Dataset]:
    """The functional groups of the frame on each slice, in the order of their positions."""
    slices = places_by_stand_in(context.sources)
    items = {
        slices[str(item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)]: item
        for item in sorted(seg.PerFrameFunctionalGroupsSequence, key=_position)
    }
    name_frames(items.values(), context.sources)
    return items


def _position(item: Dataset) -> int:
    """Where the frame stands among the positions; images without places in the patient have one dimension only."""
    values = item.FrameContentSequence[0].DimensionIndexValues
    return int(values[1]) if isinstance(values, Sequence) else 0


def _name_segment_in_each_frame(seg: Segmentation) -> None:
    # highdicom moves this group to the shared ones when there is a single segment; readers that look for it in
    # each frame are many, and the Standard allows both places (PS3.3 section C.8.20.3).
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" in shared:
        for frame in seg.PerFrameFunctionalGroupsSequence:
            frame.SegmentIdentificationSequence = deepcopy(shared.SegmentIdentificationSequence)
        del shared.SegmentIdentificationSequence
