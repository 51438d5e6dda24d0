"""A classification as an SR with TID 1500, Measurement Report, as root (PS3.16).

Each class is one group of TID 1501, because TID 1410 would hang coordinates on the group and highdicom then allows no
number to name them; OHIF shows the group as a shape with the probability beside it and offers no editing. The
probability is inferred from coordinates on the key image, never from none, because OHIF fails on the whole report
when one group has none: a box around the salient region where the class is present and the algorithm says where it
looked, else the border of the whole image. A box and no outline, because activation maps are too coarse to outline
anything. The threshold is a parameter of the algorithm, and whether it was reached a qualitative evaluation. Things
that were found in boxes are regions, TID 1410 and 1411: their boxes outline something.
"""

from collections.abc import Container, Sequence

from highdicom.sr import CoordinatesForMeasurement, MeasurementsAndQualitativeEvaluations, QualitativeEvaluation
from pydicom.sr.codedict import codes

from inference.evidence.class_words import examined_parameter
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.detection_group import CERTAINTY, PERCENT, detection_group
from inference.evidence.outline import box_outline, frame_outline
from inference.evidence.report_parts import (
    algorithm_identification,
    build_reports,
    finding_sites,
    number,
    region_source,
    tracking,
)
from inference.findings.classification import KeyImage
from inference.findings.measurement import COUNT, OCCURRENCES
from storage.domain.finding import Measurement
from storage.domain.result import EvidenceForm, EvidenceObject

# What is told of a class of which a detection has no box, so that no certainty is known, and a group needs a number.
_NONE = Measurement(OCCURRENCES, 0.0, COUNT)


def build_classification_reports(
    context: EvidenceContext, keys: Sequence[KeyImage], wanted: Container[EvidenceForm]
) -> tuple[EvidenceObject, ...]:
    """The report of a classification in each wanted form, one group per class, present or absent."""
    groups = [detection_group(context, key) if key.places else _group(context, key) for key in keys]
    return build_reports(context, groups, [], wanted)


def _group(context: EvidenceContext, key: KeyImage) -> MeasurementsAndQualitativeEvaluations:
    finding, one = key.finding, key.classification
    image = context.sources[key.index]
    seen = CoordinatesForMeasurement(
        graphic_type="POLYLINE",
        graphic_data=box_outline(*key.region) if key.region else frame_outline(int(image.Rows), int(image.Columns)),
        source_image=region_source(image),
    )
    number_of_it = Measurement(CERTAINTY, one.probability * 100, PERCENT) if finding.is_scored else _NONE
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(finding),
        finding_type=item_code(finding.kind),
        finding_sites=finding_sites(finding),
        algorithm_id=algorithm_identification(
            context,
            f"threshold for {one.label}: {one.threshold:g} ({one.threshold_origin})",
            *examined_parameter(finding, context.sources),
            *([f"region of {one.label}: occlusion sensitivity"] if key.occluded else []),
        ),
        measurements=[number(number_of_it, coordinates=[seen])],
        qualitative_evaluations=[
            QualitativeEvaluation(
                name=codes.DCM.PresenceOfProperty,
                value=codes.DCM.Present if one.present else codes.DCM.Absent,
            )
        ],
    )
