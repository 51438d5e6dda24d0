"""What a segmentation with frames where there are voxels says of itself, but for its pixels (PS3.3 section A.51).

highdicom is given the first image, as one of a single pixel; what is said of the others and of the frames is encoded
by us, and so are the pixels, one frame after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, MODEL_NAME, algorithm_equipment
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.frame_items import frame_items, source_lists
from inference.evidence.segment_findings import FoundSegment
from inference.evidence.segment_frames import Frame
from inference.evidence.segment_parts import derive_dimension_uid, segment_description
from inference.evidence.sources import first_stand_in, one_pixel
from inference.evidence.stack_places import StackPlaces

Framed = npt.NDArray[np.uint8]  # as (slice, segment): 1 where the segment has a frame on the slice


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A segmentation that ends before its frames.

    ``frames`` are in their order, ``items`` describe a frame on each slice, and ``lists`` are elements that ``seg``
    does not have itself, all encoded in Explicit VR Little Endian.
    """

    seg: Segmentation
    frames: list[Frame]
    items: dict[int, bytes]
    lists: dict[BaseTag, bytes]


def sparse_segmentation(
    context: EvidenceContext, framed: Framed, present: Sequence[FoundSegment], name: str, kind: Mapping[str, Any]
) -> Sparse:
    """The object without its pixels.

    ``present`` are the segments in the order of ``framed``, numbered from 1; ``name`` is what the object's UIDs are
    derived from; ``kind`` is what highdicom wants to know of the segmentation's type.

    Raises:
        ValueError: the images differ in size, or two lie at one place, or they are several without places.
    """
    sources = context.sources
    _require_one_size(sources)
    image = one_pixel(first_stand_in(sources))
    seg = _of_one_image(context, image, present, name, kind)
    derive_dimension_uid(seg, context.identity.uid(f"{name}-dimensions"))
    first = _first_frame(seg)
    used = np.flatnonzero(framed.any(axis=1)).tolist()
    places = _places(seg, sources)
    if places is not None:
        places.state(seg, used, distance_is_stated="SpacingBetweenSlices" in image)
    items = frame_items(first, sources, used if places is None else places.order(used), places)
    frames = [
        Frame(index, one.segment.number, one.number, *spans[index])
        for one, spans in ((one, one.spans.tolist()) for one in present)
        for index in items  # in the order of the dimension
        if framed[index, one.number - 1]
    ]
    seg.Rows, seg.Columns = sources[0].Rows, sources[0].Columns
    seg.NumberOfFrames = len(frames)
    return Sparse(seg, frames, items, source_lists(seg, sources))


def _require_one_size(sources: Sequence[Dataset]) -> None:
    for tag in (Tag("Rows"), Tag("Columns")):
        unread = {source.get_item(tag).value for source in sources}
        if len(unread) > 1 and len({source[tag].value for source in sources}) > 1:
            raise ValueError(
                f"The images differ in {keyword_for_tag(tag)}, so one segmentation cannot be made of them."
            )


def _of_one_image(
    context: EvidenceContext, image: Dataset, present: Sequence[FoundSegment], name: str, kind: Mapping[str, Any]
) -> Segmentation:
    """What highdicom makes of one image of one pixel, which is of the first segment.

    But for images, frames and pixels everything is as it has to be.
    """
    pixel = np.zeros((1, 1, 1, len(present)), np.uint8)
    pixel[..., 0] = 1
    return Segmentation(
        source_images=[image],
        pixel_array=pixel,
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


def _places(seg: Segmentation, sources: Sequence[Dataset]) -> StackPlaces | None:
    (shared,) = seg.SharedFunctionalGroupsSequence
    if "PlaneOrientationSequence" in shared:
        return StackPlaces.of(sources, shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    if len(sources) > 1:
        raise ValueError("The images have no places in the patient, so one segmentation cannot be made of them.")
    return None


def _first_frame(seg: Segmentation) -> Dataset:
    """Take the one frame out of the object, with the segment that it shows."""
    (frame,) = seg.PerFrameFunctionalGroupsSequence
    (shared,) = seg.SharedFunctionalGroupsSequence
    # highdicom moves this group to the shared ones when there is a single segment; readers that look for it in
    # each frame are many, and the Standard allows both places (PS3.3 section C.8.20.3).
    if "SegmentIdentificationSequence" in shared:
        frame.SegmentIdentificationSequence = shared.SegmentIdentificationSequence
        del shared.SegmentIdentificationSequence
    del seg.PerFrameFunctionalGroupsSequence, seg.PixelData
    return frame
