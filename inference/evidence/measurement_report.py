"""The findings as an SR with TID 1500, Measurement Report, as root (PS3.16).

Each finding is one measurement group, and each group has coordinates on an image, because OHIF fails on the whole
report when one group has none. TID 1411 allows an image region or a referenced segment, never both, so a found
segment is given as its outline on the slice where it is largest. A segment of a single image is no volume: it is a
planar region, TID 1410, which takes a region likewise. Segmentation and group are tied together by the
tracking UID and by the measurements, which name the segment as what they were inferred from; a length names
the line instead that it was measured along, because TID 320 allows an image or coordinates, never both.
"""

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from highdicom.sr import (
    ContentSequence,
    CoordinatesForMeasurement,
    ImageRegion,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.outline import Polyline, frame_outline, largest_slice, outline, thinned
from inference.evidence.report_parts import (
    Group,
    algorithm_identification,
    build_reports,
    finding_sites,
    number,
    region_source,
    tracking,
)
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.imaging.frames import image_key
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import MeasuredLine
from storage.domain.finding import Measurement as FindingMeasurement
from storage.domain.result import EvidenceForm, EvidenceObject

_BOUNDED_BY = Code("75958009", "SCT", "Bounded by")  # CID 219: the region is what the line goes around

# What an absent finding without any measurement of its own is given, so that its group has coordinates.
_NO_VOLUME = FindingMeasurement(
    CodedConcept("118565006", "SCT", "Volume"), 0.0, CodedConcept("cm3", "UCUM", "cubic centimeter")
)
_NO_AREA = FindingMeasurement(
    CodedConcept("42798000", "SCT", "Area"), 0.0, CodedConcept("cm2", "UCUM", "Centimeter**2")
)


def build_measurement_reports(
    context: EvidenceContext,
    labels: Labels,
    found: Sequence[FoundSegment],
    segmentation: EvidenceObject | None,
    wanted: Container[EvidenceForm],
) -> tuple[EvidenceObject, ...]:
    """The report of a segmentation in each wanted form.

    ``segmentation`` is the object that holds the segments, ``None`` when no segment has a voxel; each finding then
    says in a group of its own that nothing was found on the examined images.
    """
    groups = [_group(context, labels, one, segmentation) for one in found]
    return build_reports(context, groups, [segmentation] if segmentation is not None else [], wanted)


def _group(context: EvidenceContext, labels: Labels, one: FoundSegment, segmentation: EvidenceObject | None) -> Group:
    if segmentation is None or not one.number:
        return _absent_group(context, one)
    finding = one.finding
    index = largest_slice(one.areas)
    region = ImageRegion(
        graphic_type="POLYLINE",
        graphic_data=thinned(outline(labels[index] == one.segment.number)),
        source_image=region_source(context.sources[index]),
    )
    source = _segment_source(segmentation, one.number)
    # highdicom takes no coordinates in these groups, where TID 1419 does: the lines are put in behind it.
    numbers = [number(each, images=None if each.line else [source]) for each in finding.measurements]
    described: dict[str, Any] = {
        "tracking_identifier": tracking(finding),
        "finding_type": item_code(finding.kind),
        "finding_category": item_code(one.segment.category),
        "finding_sites": finding_sites(one.finding),
        "algorithm_id": algorithm_identification(context, *one.segment.made_by),
        "measurements": numbers,
    }
    group: Group
    if len(context.sources) == 1:
        group = PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=region, geometric_purpose=_BOUNDED_BY, **described
        )
    else:
        group = VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_regions=[region], **described)
    for item, measurement in zip(numbers, finding.measurements, strict=True):
        if measurement.line is not None:
            item[0].ContentSequence = ContentSequence(_line(context, measurement.line))
    return group


def _absent_group(context: EvidenceContext, one: FoundSegment) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501: the property is absent; its numbers are inferred from the whole of the middle image."""
    finding = one.finding
    nothing = _NO_AREA if len(context.sources) == 1 else _NO_VOLUME
    middle = context.sources[len(context.sources) // 2]
    border: Polyline = frame_outline(int(middle.Rows), int(middle.Columns))
    examined = CoordinatesForMeasurement(
        graphic_type="POLYLINE", graphic_data=border, source_image=region_source(middle)
    )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(finding),
        finding_type=item_code(finding.kind),
        finding_category=item_code(one.segment.category),
        finding_sites=finding_sites(one.finding),
        algorithm_id=algorithm_identification(context, *one.segment.made_by),
        measurements=[number(one, coordinates=[examined]) for one in finding.measurements or [nothing]],
        qualitative_evaluations=[QualitativeEvaluation(name=codes.DCM.PresenceOfProperty, value=codes.DCM.Absent)],
    )


def _line(context: EvidenceContext, line: MeasuredLine) -> list[CoordinatesForMeasurement]:
    """The line along which a length was measured, on its image."""
    image = next(source for source in context.sources if image_key(source) == line.image)
    points = np.array(line.image_points, np.float32)
    return [CoordinatesForMeasurement(graphic_type="POLYLINE", graphic_data=points, source_image=region_source(image))]


def _segment_source(segmentation: EvidenceObject, number: int) -> SourceImageForMeasurement:
    source = SourceImageForMeasurement(
        referenced_sop_class_uid=segmentation.sop_class_uid,
        referenced_sop_instance_uid=segmentation.sop_instance_uid,
    )
    source.ReferencedSOPSequence[0].ReferencedSegmentNumber = number
    return source
