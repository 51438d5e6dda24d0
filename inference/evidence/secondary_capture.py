"""Pictures of a result as Secondary Capture Images, for viewers that show nothing else (PS3.3 section A.8.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.orientation import patient_orientation
from inference.evidence.references import references
from inference.evidence.shown_image import Picture
from inference.evidence.sources import state_losses
from storage.domain.coded_concept import CodedConcept
from storage.domain.result import EvidenceObject, EvidenceRole

_SOURCE_IMAGE = CodedConcept("121322", "DCM", "Source Image for Image Processing Operation")


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """A picture, what it shows in one sentence, and the places of the sources that it was made from.

    ``name`` tells its UID from those of the other captures of the result. ``is_of_one_image`` when rows and columns run
    as those of its source.
    """

    name: str
    picture: Picture
    sentence: str
    indices: tuple[int, ...]
    is_of_one_image: bool = True


def build_secondary_captures(context: EvidenceContext, captures: Sequence[Capture]) -> tuple[EvidenceObject, ...]:
    """One image per capture, all in one series, in this order."""
    return tuple(_secondary_capture(context, capture, place) for place, capture in enumerate(captures, start=1))


def _secondary_capture(context: EvidenceContext, made: Capture, place: int) -> EvidenceObject:
    sources = [context.sources[index] for index in made.indices]
    spacing = made.picture.spacing_mm
    capture = SCImage(
        pixel_array=made.picture.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # highdicom wants one; what is known replaces it below
        study_instance_uid=str(sources[0].StudyInstanceUID),
        series_instance_uid=context.identity.uid("secondary-capture-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid(made.name),
        instance_number=place,
        manufacturer=MANUFACTURER,
        pixel_spacing=(spacing, spacing) if spacing is not None else None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    capture.PatientOrientation = list((patient_orientation(sources[0]) if made.is_of_one_image else None) or ())
    capture.ConversionType = "WSD"
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = f"{made.sentence} {context.mark}"
    capture.ImageComments = context.mark
    capture.SourceImageSequence = [_source_image(item) for item in references(sources)]
    state_losses(capture, sources)
    moment = context.local_started_at
    capture.DateOfSecondaryCapture = DA(moment.date())
    capture.TimeOfSecondaryCapture = TM(moment.time())
    return complete(capture, context, EvidenceRole.SECONDARY_CAPTURE, series_description(context, "key images"))


def _source_image(item: Dataset) -> Dataset:
    item.PurposeOfReferenceCodeSequence = [item_code(_SOURCE_IMAGE)]
    return item
