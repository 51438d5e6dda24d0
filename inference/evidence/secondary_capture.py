"""The picture of a class as a Secondary Capture Image, for viewers that show nothing else (PS3.3 section A.8.1)."""

from collections.abc import Sequence

from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.key_image_picture import Picture
from inference.evidence.orientation import patient_orientation
from inference.findings.classification import KeyImage
from storage.domain.coded_concept import CodedConcept
from storage.domain.result import EvidenceObject, EvidenceRole

_SOURCE_IMAGE = CodedConcept("121322", "DCM", "Source Image for Image Processing Operation")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def build_secondary_captures(
    context: EvidenceContext, keys: Sequence[KeyImage], drawn: Sequence[Picture]
) -> tuple[EvidenceObject, ...]:
    """One image per class, all in one series, in the order of the classes."""
    return tuple(
        _secondary_capture(context, key, picture, place)
        for place, (key, picture) in enumerate(zip(keys, drawn, strict=True), start=1)
    )


def _secondary_capture(context: EvidenceContext, key: KeyImage, picture: Picture, place: int) -> EvidenceObject:
    source = context.sources[key.index]
    sides = patient_orientation(source)
    capture = SCImage(
        pixel_array=picture.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # highdicom wants one; what is known replaces it below
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=context.identity.uid("secondary-capture-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid(f"secondary-capture {key.classification.label}"),
        instance_number=place,
        manufacturer=MANUFACTURER,
        pixel_spacing=(picture.spacing_mm, picture.spacing_mm) if picture.spacing_mm is not None else None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    capture.PatientOrientation = list(sides or ())
    capture.ConversionType = "WSD"
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = (
        f"{key.classification.label} by {context.algorithm.name} {context.algorithm.version}, drawn over its key "
        f"image. {context.mark}"
    )
    capture.ImageComments = context.mark
    capture.SourceImageSequence = [_source_image(source)]
    for keyword in _LOSSY:  # once lossy, always lossy (PS3.3 section C.7.6.1.1.5)
        if keyword in source:
            capture[keyword] = source[keyword]
    moment = context.local_started_at
    capture.DateOfSecondaryCapture = DA(moment.date())
    capture.TimeOfSecondaryCapture = TM(moment.time())
    description = series_description(context, "key images")
    return complete(capture, context, EvidenceRole.SECONDARY_CAPTURE, description)


def _source_image(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [item_code(_SOURCE_IMAGE)]
    return item
