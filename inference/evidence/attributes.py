"""The attributes every evidence object carries and highdicom leaves out; nothing else writes them.

Patient and study are the sources' own, times are those of the job, equipment and algorithm are named, and the
object says that it is a research result where it is one (PS3.3 sections C.7.1 to C.7.5 and C.12.1).
"""

from collections.abc import Mapping

from highdicom import ContributingEquipment
from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DT

from inference.evidence.character_set import as_received, settle_character_set
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.orientation import patient_orientation
from inference.evidence.part10 import FileWithFrames, Frames, part10
from inference.evidence.predecessor import name_predecessor
from inference.evidence.references import name_frames
from inference.evidence.result_uids import SeriesNaming
from inference.evidence.sources import states_thickness
from storage.domain.ai_object import OUR_MANUFACTURER, OUR_MODEL_NAME
from storage.domain.result import UNALIGNED, EvidenceForm, EvidenceObject, EvidenceRole

MANUFACTURER = OUR_MANUFACTURER
MODEL_NAME = OUR_MODEL_NAME

# Series Numbers, counted from the one that the site has set as the first.
SERIES_OFFSETS = {
    EvidenceRole.SEGMENTATION: 0,
    EvidenceRole.REPORT: 1,
    EvidenceRole.SECONDARY_CAPTURE: 2,
    EvidenceRole.PRESENTATION_STATE: 3,
    EvidenceRole.PARAMETRIC_MAP: 4,
    EvidenceRole.KEY_OBJECTS: 5,
    EvidenceRole.DOCUMENT: 6,
    EvidenceRole.STRUCTURE_SET: 7,
    EvidenceRole.REJECTION_NOTE: 8,
}

_REPORT_FORMS: dict[str, EvidenceForm] = {
    BasicTextSRStorage: EvidenceForm.BASIC_TEXT,
    EnhancedSRStorage: EvidenceForm.ENHANCED,
    ComprehensiveSRStorage: EvidenceForm.COMPREHENSIVE,
    Comprehensive3DSRStorage: EvidenceForm.COMPREHENSIVE_3D,
}
_SEGMENTATION_FORMS = {
    "BINARY": EvidenceForm.BINARY,
    "LABELMAP": EvidenceForm.LABEL_MAP,
    "FRACTIONAL": EvidenceForm.FRACTIONAL,
}
LONG_STRING = 64  # characters in one value of VR LO (PS3.5 section 6.2)
# The common paired structures of PS3.16 annex L; a series of one states its side (PS3.3 section C.7.3.1).
# fmt: off
_PAIRED = frozenset({
    "ADRENAL", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CALF", "CHEEK", "CLAVICLE", "EAR", "ELBOW", "EYE", "FEMUR",
    "FINGER", "FOOT", "FOREARM", "HAND", "HIP", "HUMERUS", "IAC", "KIDNEY", "KNEE", "LEG", "OVARY", "PATELLA",
    "SCAPULA", "SHOULDER", "THIGH", "THUMB", "TIBIA", "TOE", "ULNA", "WRIST", "ZYGOMA",
})
# fmt: on
_SIDES = frozenset({"R", "L", "U", "B"})  # right, left, unpaired, both (PS3.3 section C.7.6.1.1)
_WITHOUT_A_BODY_PART = frozenset(
    {
        EvidenceRole.REPORT,
        EvidenceRole.DOCUMENT,
        EvidenceRole.KEY_OBJECTS,
        EvidenceRole.REJECTION_NOTE,
        EvidenceRole.STRUCTURE_SET,
    }
)
# The frames of a map have their own (PS3.3 section C.7.6.16.2.8), so its series must have none.
_WITHOUT_LATERALITY = _WITHOUT_A_BODY_PART | {EvidenceRole.PARAMETRIC_MAP}
_COPIED_FOR_ALL = ("SpecificCharacterSet", "TimezoneOffsetFromUTC", "InstitutionName")


def read_tables_of_the_standard() -> None:
    """Have highdicom read which attributes each object has, for which its first object waits 0.8 s."""
    uid = "1.2.3"
    SOPClass(uid, uid, 1, uid, SecondaryCaptureImageStorage, 1, "OT", MANUFACTURER, ExplicitVRLittleEndian)


def series_description(context: EvidenceContext, what: str, *, first: bool = False) -> str:
    """The label viewers show: the site's prefix, algorithm, what it is, and the mark; cut to what LO can hold.

    ``what`` stands ``first`` where a list that cuts its labels short would mislead without it.
    """
    mark = " (RESEARCH, not verified)" if context.algorithm.use == "research" else " (AI, not verified)"
    prefix = context.identity.naming.description_prefix
    lead = f"{prefix} " if prefix else ""
    room = LONG_STRING - len(lead) - len(mark) - (2 if first else 1)
    what = what[:room]
    name = context.algorithm.name[: room - len(what)].rstrip()
    return f"{lead}{what}: {name}{mark}" if first else f"{lead}{name} {what}{mark}"


def series_number(naming: SeriesNaming, role: EvidenceRole) -> int:
    """The Series Number (0020,0011) of results of this role."""
    return naming.number_base + SERIES_OFFSETS[role]


def algorithm_equipment(context: EvidenceContext) -> ContributingEquipment:
    """The algorithm as the equipment that made the findings; another model is another Device UID (IHE AIR)."""
    algorithm = context.algorithm
    item = ContributingEquipment(
        manufacturer=algorithm.manufacturer[:LONG_STRING],
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=algorithm.name[:LONG_STRING],
        software_versions=algorithm.version[:LONG_STRING],
        contribution_datetime=context.local_started_at,
        contribution_description=f"Analysis by algorithm, artifact sha256:{algorithm.artifact_sha256}",
    )
    item.DeviceUID = context.identity.device_uid()
    return item


def complete(
    sop: SOPClass,
    context: EvidenceContext,
    role: EvidenceRole,
    description: str,
    frames: Frames | None = None,
    form: EvidenceForm | None = None,
    encoded: Mapping[BaseTag, bytes] | None = None,
) -> EvidenceObject:
    """Give a freshly built object everything that is missing and freeze it as a Part 10 file.

    ``frames`` are those of an object that ends before its Per-frame Functional Groups Sequence (5200,9230), or before
    its pixels. ``form`` is given where the object itself does not tell it. ``encoded`` are elements that the object
    does not have yet, in Explicit VR Little Endian.
    """
    image = as_received(context.sources[0])
    _copy_from_source(sop, image, role)
    _mend_thickness(sop, context)
    _drop_impossible_spacing(sop)
    _describe_equipment(sop, context)
    _freeze_times(sop, context)
    name_frames([sop], context.sources)
    sop.SeriesNumber = series_number(context.identity.naming, role)
    sop.SeriesDescription = description
    sop.ContentQualification = context.algorithm.use.upper()
    if role is EvidenceRole.REPORT:
        name_predecessor(sop, context, _form(sop, role))
    settle_character_set(sop, image, context.sources[0])
    header = part10(sop, encoded or {})
    return EvidenceObject(
        role=role,
        sop_class_uid=str(sop.SOPClassUID),
        sop_instance_uid=str(sop.SOPInstanceUID),
        series_instance_uid=str(sop.SeriesInstanceUID),
        transfer_syntax_uid=str(sop.file_meta.TransferSyntaxUID),
        pieces=(header,) if frames is None else FileWithFrames(header, frames),
        form=_aligned_or_not(sop, form or _form(sop, role)),
    )


def _form(sop: SOPClass, role: EvidenceRole) -> EvidenceForm:
    if role is EvidenceRole.REPORT:
        return _REPORT_FORMS[sop.SOPClassUID]
    if role is EvidenceRole.SEGMENTATION:
        return _SEGMENTATION_FORMS[str(sop.SegmentationType)]
    return EvidenceForm(role)


def _aligned_or_not(sop: SOPClass, form: EvidenceForm) -> EvidenceForm:
    return UNALIGNED[form] if form in UNALIGNED and sop.Rows * sop.Columns % 8 else form


def _copy_from_source(sop: SOPClass, source: Dataset, role: EvidenceRole) -> None:
    _copy_patient_and_study(sop, source)
    # The series of a document and of a structure set has none (PS3.3 sections C.17.1, C.17.6.1, C.24.1 and C.8.8.1).
    body_part = () if role in _WITHOUT_A_BODY_PART else ("BodyPartExamined",)
    for keyword in (*_COPIED_FOR_ALL, *body_part):
        if keyword in source:
            sop[keyword] = source[keyword]
    if role is EvidenceRole.SEGMENTATION:
        _copy_image_laterality(sop, source)
        _copy_patient_orientation(sop, source)
    elif role not in _WITHOUT_LATERALITY:
        _copy_laterality(sop, source)


def _copy_patient_and_study(sop: SOPClass, source: Dataset) -> None:
    try:
        SOPClass.copy_patient_and_study_information(sop, source)
    except KeyError:  # a class that highdicom does not know, such as a retired one; its modules are those of any image
        image = Dataset()
        image.update(source)
        del image.SOPClassUID  # an element that the source still uses
        image.SOPClassUID = SecondaryCaptureImageStorage
        SOPClass.copy_patient_and_study_information(sop, image)


def stated_side(source: Dataset) -> str | None:
    """The side of the body that the image shows, ``R`` or ``L``; ``None`` when it does not say one."""
    side = str(source.get("Laterality") or source.get("ImageLaterality") or "")
    return side if side in ("R", "L") else None


def _copy_laterality(sop: SOPClass, source: Dataset) -> None:
    """Laterality (0020,0060) of the series: the source's side; empty where there is one and it is not known."""
    side, part = stated_side(source), _body_part(source)
    if side or not part or part in _PAIRED:
        sop.Laterality = side or ""


def _copy_image_laterality(sop: SOPClass, source: Dataset) -> None:
    """Image Laterality (0020,0062), beside which the series must have no Laterality (PS3.3 section C.7.3.1).

    The series has an empty one only where the body part is paired and its side is not known.
    """
    side = str(source.get("ImageLaterality") or source.get("Laterality") or "")
    if side in _SIDES:
        sop.ImageLaterality = side
    elif _body_part(source) in _PAIRED:
        sop.Laterality = ""


def _copy_patient_orientation(sop: SOPClass, source: Dataset) -> None:
    """Patient Orientation (0020,0020), which an image without a place in the patient has, if only empty.

    The frames are on the grid of the source, so its directions are theirs (PS3.3 section C.7.6.1).
    """
    if "PlaneOrientationSequence" not in sop.SharedFunctionalGroupsSequence[0]:
        sop.PatientOrientation = list(patient_orientation(source) or ())


def _mend_thickness(sop: SOPClass, context: EvidenceContext) -> None:
    """Where the images state no Slice Thickness (0018,0050), frames are as thick as they lie apart, if that is known.

    A value is wanted of segmentations (PS3.3 section C.7.6.16.2.1), and the one that highdicom was given is made up.
    """
    shared = sop.get("SharedFunctionalGroupsSequence", ())
    if not shared or all(states_thickness(source) for source in context.sources):
        return
    for groups in shared:
        for measures in groups.get("PixelMeasuresSequence", ()):
            measures.pop("SliceThickness", None)  # a radiograph with Pixel Spacing has been given none
            if len(context.sources) == 1:  # whose distance is made up as well
                measures.pop("SpacingBetweenSlices", None)
            elif "SpacingBetweenSlices" in measures:
                measures.SliceThickness = measures.SpacingBetweenSlices


def _drop_impossible_spacing(sop: SOPClass) -> None:
    """Old radiographs state a Pixel Spacing of 0, which says nothing and is not allowed (PS3.3 section 10.7.1.3)."""
    for groups in sop.get("SharedFunctionalGroupsSequence", ()):
        for measures in groups.get("PixelMeasuresSequence", ()):
            if min(measures.get("PixelSpacing") or (1,)) <= 0:
                del measures.PixelSpacing
        if "PixelMeasuresSequence" in groups and not len(groups.PixelMeasuresSequence[0]):
            del groups.PixelMeasuresSequence


def _body_part(source: Dataset) -> str:
    return str(source.get("BodyPartExamined") or "").strip().upper()


def _describe_equipment(sop: SOPClass, context: EvidenceContext) -> None:
    sop.Manufacturer = MANUFACTURER
    sop.ManufacturerModelName = MODEL_NAME
    sop.SoftwareVersions = service_version()
    sop.DeviceSerialNumber = context.identity.service_serial_number()


def _freeze_times(sop: SOPClass, context: EvidenceContext) -> None:
    # highdicom stamps the present into these, which would give a second attempt other bytes under the same UID.
    moment = context.local_started_at
    day, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    for kind in ("InstanceCreation", "Content", "Series"):
        setattr(sop, f"{kind}Date", day)
        setattr(sop, f"{kind}Time", time)
    for item in sop.ContributingEquipmentSequence:
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == codes.DCM.ProcessingEquipment.value:
            item.ContributionDateTime = DT(moment)
