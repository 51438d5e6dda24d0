"""The images a result speaks of: one patient, one study, one series, one frame of reference."""

from collections.abc import Sequence

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from inference.errors import UnusableInput
from inference.evidence.references import as_single_frame

# Whoever disagrees on one of these is not the same examination of the same person.
_SHARED = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)

_CHARACTER_SET = Tag("SpecificCharacterSet")
_OF_A_PLACE = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")

# What highdicom reads of a source image beyond its identity: the geometry and the acquisition equipment.
_READ = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "Rows",
    "Columns",
    "ImageType",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "InstitutionAddress",
    "StationName",
    "AcquisitionDateTime",
)

_READ_OF_INSTANCES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

_READ_OF_EACH = (
    *_READ_OF_INSTANCES,
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
)

_TAGS = {keyword: Tag(keyword) for keyword in {*_READ, *_READ_OF_EACH}}  # looked up once, not for each image

_LENGTHS = frozenset({"SliceThickness", "SpacingBetweenSlices"})
_AS_STATED = 0.01  # of the distance of slices may what they say of it be wrong, by rounding

_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def require_one_patient(sources: Sequence[Dataset]) -> None:
    """Refuse images of which one result cannot speak.

    Raises:
        UnusableInput: ``patient-mix``, when the images differ in patient, study, series or frame of reference.
    """
    character_sets = [_as_kept(source, _CHARACTER_SET) for source in sources]
    for keyword in _SHARED:
        tag = Tag(keyword)
        # Where all are kept alike they say the same, which spares hundreds of images from being read eight times.
        if len({*zip(character_sets, (_as_kept(source, tag) for source in sources), strict=True)}) == 1:
            continue
        values = {_said(source, tag) for source in sources}
        if len(values) > 1:
            raise UnusableInput(
                "patient-mix",
                f"The images of one series differ in {keyword}, so no result can be filed for them; "
                "correct the series at the sender and send it again.",
            )


def _as_kept(source: Dataset, tag: BaseTag) -> tuple[object, ...]:
    """An element as it lies in the data set: what differs may still say the same, what is equal does."""
    if tag not in source:
        return ()
    kept = source.get_item(tag)
    raw = isinstance(kept, RawDataElement)
    return raw, kept.VR, kept.value if raw else repr(kept.value)


def _said(source: Dataset, tag: BaseTag) -> str:
    """The value, or its bytes where they cannot be told; ``source`` keeps them, for they are to be copied."""
    read = Dataset({one: source.get_item(one) for one in (_CHARACTER_SET, tag) if one in source})
    text = str(read.get(tag, DataElement(tag, "LO", "")).value or "")
    unread = source.get_item(tag)
    return unread.value.hex() if "\ufffd" in text and isinstance(unread, RawDataElement) else text


def has_place(source: Dataset) -> bool:
    """Whether an image says where in the patient its pixels lie (PS3.3 section C.7.6.2)."""
    return all(source.get(keyword) for keyword in _OF_A_PLACE)


def stand_in(source: Dataset) -> Dataset:
    """The part of a source image that highdicom needs for a document, patient and study attributes left empty.

    highdicom refuses a Patient's Sex outside its list, fails when a type 2 attribute is missing, and writes a
    name that it finds odd into its log. A result must be possible for such images too and no name may reach a
    log, so ``attributes.complete`` copies the patient and the study after highdicom is done.
    """
    copy = _with_thickness(_copied(source, _READ))
    for keyword in _EMPTY:
        setattr(copy, keyword, "")
    return copy


def instance_stand_in(source: Dataset) -> Dataset:
    """The same of a further image of a document, which only names it."""
    return _copied(source, _READ_OF_INSTANCES)


def image_stand_in(source: Dataset) -> Dataset:
    """The same of an image that highdicom builds on, for what refers to single images; see ``references``."""
    return as_single_frame(stand_in(source), source)


def image_stand_ins(sources: Sequence[Dataset]) -> list[Dataset]:
    """The same of all images of a stack, on the grid of the first.

    Scanners round the direction of each slice anew, and highdicom takes the last digit of it for another orientation.
    What the images say of their distance is left out where it is not how they lie.
    """
    further = [as_single_frame(_with_thickness(_copied(one, _READ_OF_EACH)), one) for one in sources[1:]]
    images = [first_stand_in(sources), *further]
    if len(images) > 1 and all(has_place(one) for one in sources):
        for tag in (_TAGS["ImageOrientationPatient"], _TAGS["PixelSpacing"]):
            for image in further:
                image[tag] = images[0][tag]
    return images


def first_stand_in(sources: Sequence[Dataset]) -> Dataset:
    """The first of ``image_stand_ins``, for what takes nothing of the others."""
    image = image_stand_in(sources[0])
    if "SpacingBetweenSlices" in image and not _lie_as_stated(sources):
        del image.SpacingBetweenSlices
    return image


def _lie_as_stated(sources: Sequence[Dataset]) -> bool:
    if len(sources) == 1 or not all(has_place(one) for one in sources):
        return True
    places = np.array([[float(value) for value in one.ImagePositionPatient] for one in sources])
    usual = float(np.median(np.linalg.norm(np.diff(places, axis=0), axis=1)))
    return abs(float(sources[0].SpacingBetweenSlices) - usual) <= _AS_STATED * usual


def states_length(source: Dataset, keyword: str) -> bool:
    """Whether an attribute is a length in mm, and not empty, zero or no number (PS3.5 section 6.2, VR DS)."""
    try:
        return 0 < float(source.get(keyword) or 0) < np.inf
    except (TypeError, ValueError):
        return False


def states_thickness(source: Dataset) -> bool:
    """Whether an image says how thick its slice is, which it may leave empty (PS3.3 section C.7.6.2)."""
    return states_length(source, "SliceThickness")


def _with_thickness(copy: Dataset) -> Dataset:
    """highdicom fails without one; ``attributes.complete`` takes the made up one out again."""
    if has_place(copy) and not states_thickness(copy):
        copy[_TAGS["SliceThickness"]] = DataElement(_TAGS["SliceThickness"], "DS", 1)
    return copy


def state_losses(image: Dataset, sources: Sequence[Dataset]) -> None:
    """Have an image say what was lost of those that it was made from (PS3.3 section C.7.6.1.1.5)."""
    lossy = next((one for one in sources if one.get("LossyImageCompression") == "01"), sources[0])
    for keyword in _LOSSY:
        if keyword in lossy:
            image[keyword] = lossy[keyword]


def one_pixel(image: Dataset) -> Dataset:
    """The stand-in as an image of one pixel, for objects whose pixels are written by us."""
    del image.Rows, image.Columns  # elements that the source still uses
    image.Rows = image.Columns = 1
    return image


def _copied(source: Dataset, keywords: Sequence[str]) -> Dataset:
    kept = (one for one in keywords if one not in _LENGTHS or states_length(source, one))
    tags = (_TAGS[keyword] for keyword in kept)
    return Dataset({tag: source[tag] for tag in tags if tag in source})
