"""The segmentation as a Label Map Segmentation object on the grid of its source images (PS3.3 section A.51).

For destinations that are known to show it: a pixel has the number of its segment, so it holds no segments that overlap
and is small when compressed. The background is described as segment 0, as the Standard asks for.
"""

from collections.abc import Sequence

import numpy as np
from highdicom.seg import Segmentation
from pydicom.uid import RLELossless

from inference.evidence.attributes import (
    MANUFACTURER,
    MODEL_NAME,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.segment_parts import derive_dimension_uid, segment_description
from inference.evidence.sources import image_stand_ins
from storage.domain.result import EvidenceObject, EvidenceRole


def build_label_map(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]) -> EvidenceObject:
    """The segments that have a voxel, on the slices that have any, RLE, which every reader of label maps tried reads.

    At least one segment must have a voxel.
    """
    present = [one for one in found if one.number]
    seg = Segmentation(
        source_images=image_stand_ins(context.sources),
        pixel_array=_renumbered(labels, present),
        segmentation_type="LABELMAP",
        segment_descriptions=[segment_description(context, one) for one in present],
        series_instance_uid=context.identity.uid("label-map-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("label-map"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=service_version(),
        device_serial_number=context.identity.service_serial_number(),
        transfer_syntax_uid=RLELossless,
        content_label="AI_SEGMENTATION",
        content_description=context.mark,
        contributing_equipment=[algorithm_equipment(context)],
    )
    derive_dimension_uid(seg, context.identity.uid("label-map-dimensions"))
    return complete(seg, context, EvidenceRole.SEGMENTATION, series_description(context, "label map"))


def _renumbered(labels: Labels, present: Sequence[FoundSegment]) -> Labels:
    if all(one.segment.number == one.number for one in present):
        return labels  # no other label has a voxel
    table = np.zeros(256, np.uint8)
    for one in present:
        table[one.segment.number] = one.number
    return table[labels]
