"""What every form of a segmentation has: who made which segment, with which bytes (PS3.3 section C.8.20.4)."""

from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription

from inference.evidence.attributes import LONG_STRING
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.segment_findings import FoundSegment


def segment_description(context: EvidenceContext, one: FoundSegment) -> SegmentDescription:
    """The item of a segment that has a voxel."""
    segment, finding = one.segment, one.finding
    return SegmentDescription(
        segment_number=one.number,
        segment_label=segment.label[:LONG_STRING],
        segmented_property_category=item_code(segment.category),
        segmented_property_type=item_code(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm_identification(context),
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_identifier,
        anatomic_regions=[item_code(segment.site)] if segment.site is not None else None,
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )


def algorithm_identification(context: EvidenceContext) -> AlgorithmIdentificationSequence:
    """What made a region, with which bytes (PS3.3 table 10-19)."""
    algorithm = context.algorithm
    return AlgorithmIdentificationSequence(
        name=algorithm.name[:LONG_STRING],
        family=item_code(algorithm.family),
        version=algorithm.version[:LONG_STRING],
        source=algorithm.manufacturer[:LONG_STRING],
        parameters={
            "artifact": f"sha256:{algorithm.artifact_sha256}",
            "manifest": f"sha256:{algorithm.manifest_sha256}",
        },
    )


def derive_dimension_uid(seg: Segmentation, uid: str) -> None:
    """Replace the UID that highdicom draws at random."""
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
