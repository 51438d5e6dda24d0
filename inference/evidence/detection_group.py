"""A detection as a measurement group: its box on an image (PS3.16 TID 1410), or its boxes on several (TID 1411).

The groups of classes of which nothing was found are those of a classification.
"""

from typing import Any

from highdicom.sr import (
    ImageRegion,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from inference.evidence.class_words import examined_parameter
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.outline import box_outline
from inference.evidence.report_parts import (
    Group,
    algorithm_identification,
    finding_sites,
    number,
    region_source,
    tracking,
)
from inference.findings.classification import KeyImage
from inference.findings.saliency import Region
from inference.imaging.frames import frame_number
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Measurement

BOUNDED_BY = Code("75958009", "SCT", "Bounded by")  # CID 219: the region is what the line goes around
# The certainty that a device places upon a finding, in percent, as the Standard's own CAD templates state it.
CERTAINTY = CodedConcept("111012", "DCM", "Certainty of Finding")
PERCENT = CodedConcept("%", "UCUM", "percent")


def detection_group(context: EvidenceContext, key: KeyImage) -> Group:
    """The group of one thing that was found, with a region on each image that it was found on."""
    finding, one = key.finding, key.classification
    regions = [
        ImageRegion(
            graphic_type="POLYLINE",
            graphic_data=box_outline(*region),
            source_image=region_source(context.sources[index]),
        )
        for index, region in _surest_first(key)
    ]
    score = Measurement(CERTAINTY, one.probability * 100, PERCENT)
    label = one.label
    described: dict[str, Any] = {
        "tracking_identifier": tracking(finding),
        "finding_type": item_code(finding.kind),
        "finding_sites": finding_sites(finding),
        "algorithm_id": algorithm_identification(
            context,
            f"threshold for {label}: {one.threshold:g} ({one.threshold_origin})",
            *examined_parameter(finding, context.sources),
        ),
        "measurements": [number(score, images=[_image(context.sources[key.index])])],
        "qualitative_evaluations": [QualitativeEvaluation(name=codes.DCM.PresenceOfProperty, value=codes.DCM.Present)],
    }
    if len(regions) == 1:
        return PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=regions[0], geometric_purpose=BOUNDED_BY, **described
        )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_regions=regions, **described)


def _surest_first(key: KeyImage) -> list[tuple[int, Region]]:
    """The places with the key image before all others, because viewers open a report at its first region."""
    return sorted(key.places, key=lambda place: place[0] != key.index)


def _image(image: Dataset) -> SourceImageForMeasurement:
    """The image on which the score is highest."""
    number = frame_number(image)
    return SourceImageForMeasurement(
        referenced_sop_class_uid=image.SOPClassUID,
        referenced_sop_instance_uid=image.SOPInstanceUID,
        referenced_frame_numbers=None if number is None else [number],
    )
