"""The frames of a multi-frame instance, each described as a single-frame image is (PS3.3 sections C.7.6.6, C.7.6.16).

What an Enhanced CT, MR or PET instance says of a frame stands in functional groups: in the shared ones, or in those of
the frame. Here each frame gets a header of its own, so that whatever reads headers need not know of groups. Such a
header tells which frame it is by Referenced Frame Number (0008,1160); its SOP Instance UID is that of the instance.
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    EnhancedUSVolumeStorage,
    EnhancedXAImageStorage,
    EnhancedXRFImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRay3DAngiographicImageStorage,
    XRay3DCraniofacialImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from inference.errors import UnusableInput
from inference.imaging.anatomic_regions import body_part

# An instance of these may be many images; of others Number of Frames says so too, but only when it is read.
MULTI_FRAME_CLASSES = frozenset(
    {
        BreastTomosynthesisImageStorage,
        EnhancedCTImageStorage,
        EnhancedMRColorImageStorage,
        EnhancedMRImageStorage,
        EnhancedPETImageStorage,
        EnhancedUSVolumeStorage,
        EnhancedXAImageStorage,
        EnhancedXRFImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
        LegacyConvertedEnhancedPETImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameSingleBitSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
        NuclearMedicineImageStorage,
        UltrasoundMultiFrameImageStorage,
        XRay3DAngiographicImageStorage,
        XRay3DCraniofacialImageStorage,
        XRayAngiographicImageStorage,
        XRayRadiofluoroscopicImageStorage,
    }
)

# Frames of these are images to look at one by one, although they have no place in the patient.
SINGLE_FRAMES_CLASSES = frozenset(
    {
        UltrasoundMultiFrameImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)

# Which attributes of which functional group become those of the frame's header.
_GROUPS: dict[str, tuple[str, ...]] = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "FrameContentSequence": ("StackID", "InStackPositionNumber", "TemporalPositionIndex", "FrameAcquisitionNumber"),
    "TemporalPositionSequence": ("TemporalPositionTimeOffset",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime",),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRTimingAndRelatedParametersSequence": ("FlipAngle",),
    "MRDiffusionSequence": ("DiffusionBValue", "DiffusionDirectionality", "DiffusionGradientDirectionSequence"),
}
# Where they are said of a frame, they are said of each, in its groups or the shared ones (PS3.3 section C.7.6.16.1).
_OF_EACH_OR_NONE = {
    "PixelMeasuresSequence": "Pixel Measures",
    "PlanePositionSequence": "Plane Position (Patient)",
    "PlaneOrientationSequence": "Plane Orientation (Patient)",
    "PixelValueTransformationSequence": "Pixel Value Transformation",
}
_FRAME_TYPES = ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence", "PETFrameTypeSequence")
_FRAME_NUMBER = Tag("ReferencedFrameNumber")
_MOST_FRAMES = 20_000  # of one instance; each costs some kilobytes before anything is known of it
_NOT_OF_A_FRAME = frozenset({"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"})

# In what frames at one place differ, in words.
_DIFFERENCES: dict[str, str] = {
    "StackID": "stack",
    "TemporalPositionIndex": "temporal position",
    "TemporalPositionTimeOffset": "temporal position",
    "NominalCardiacTriggerDelayTime": "cardiac phase",
    "EffectiveEchoTime": "echo time",
    "FlipAngle": "flip angle",
    "DiffusionBValue": "diffusion weight",
    "DiffusionDirectionality": "diffusion direction",
    "DiffusionGradientDirectionSequence": "diffusion direction",
    "ImageType": "image type",
    "FrameAcquisitionNumber": "acquisition",
}


def frame_number(header: Dataset) -> int | None:
    """Which frame of its instance the header describes, from 1; ``None`` for an instance that is one image."""
    if header.get_item(_FRAME_NUMBER) is None:  # asked of each image again and again, and the soonest answered so
        return None
    number = header.get("ReferencedFrameNumber")
    return None if number is None else int(number)


def image_key(header: Dataset) -> tuple[str, int | None]:
    """What tells an image from all others: its SOP Instance UID, and its frame number where it is a frame."""
    return str(header.SOPInstanceUID), frame_number(header)


def frame_headers(instance: Dataset) -> list[Dataset]:
    """A header for each image of an instance, in the order of frame numbers; that of a single-frame one is itself.

    Raises:
        UnusableInput: ``unreadable``, when not every frame is described; ``too-many-pixels``, when there are more
            than our limit; ``no-pixel-data``, as ``frame_count``.
    """
    instance.pop("ReferencedFrameNumber", None)  # has no meaning there, and one here
    grouped = "PerFrameFunctionalGroupsSequence" in instance or "SharedFunctionalGroupsSequence" in instance
    count = frame_count(instance)
    if not grouped and count == 1:
        return [instance]
    if count > _MOST_FRAMES:
        raise UnusableInput("too-many-pixels", f"An instance has more than {_MOST_FRAMES} frames, which is our limit.")
    shared = _items(instance, "SharedFunctionalGroupsSequence")[:1]
    of_frames = _items(instance, "PerFrameFunctionalGroupsSequence")
    if grouped and len(of_frames) != count:
        raise UnusableInput("unreadable", "An instance does not describe each of its frames; send it again.")
    _refuse_some_without(shared, of_frames)
    common = _common(instance, shared)
    return [_header(common, of_frames[index : index + 1], index + 1) for index in range(count)]


def frame_count(instance: Dataset) -> int:
    """Number of Frames (0028,0008); 1 where an instance has none.

    Raises:
        UnusableInput: ``no-pixel-data``, when it is no number of frames.
    """
    try:
        count = int(instance.get("NumberOfFrames", None) or 1)
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count < 1:
        raise UnusableInput("no-pixel-data", "An instance of the series does not describe an image.")
    return count


def differences(headers: Sequence[Dataset]) -> tuple[int, list[str]]:
    """Into how many volumes frames fall, and by what; 1 and nothing where they do not differ but in their places."""
    words: dict[str, list[str]] = {}
    for keyword, word in _DIFFERENCES.items():
        values = [_comparable(header, keyword) for header in headers]
        if 1 < len(set(values)) <= len(headers) // 2:
            words.setdefault(word, values)
    return len(set(zip(*words.values(), strict=True))) if words else 1, list(words)


def _comparable(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword, ""))


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or ())


def _refuse_some_without(shared: Sequence[Dataset], of_frames: Sequence[Dataset]) -> None:
    """Raises UnusableInput ``unreadable``: what some frames leave open would be taken for what nobody meant."""
    for sequence, name in _OF_EACH_OR_NONE.items():
        having = sum(1 for groups in of_frames if _items(groups, sequence))
        if having not in (0, len(of_frames)) and not any(_items(groups, sequence) for groups in shared):
            raise UnusableInput(
                "unreadable",
                f"An instance gives {name} for {having} of its {len(of_frames)} frames; send it again.",
            )


def _common(instance: Dataset, shared: Sequence[Dataset]) -> Dataset:
    """What all frames have in common: the attributes of the instance and its shared groups."""
    common = Dataset()
    common.update(instance)
    for keyword in _NOT_OF_A_FRAME:
        common.pop(keyword, None)
    common.pop("ImagePositionPatient", None)  # of one frame at most, nobody knows of which
    _take(common, shared)
    return common


def _header(common: Dataset, groups: Sequence[Dataset], number: int) -> Dataset:
    header = Dataset()
    header.update(common)
    _take(header, groups)
    header.ReferencedFrameNumber = number
    return header


def _take(header: Dataset, groups: Sequence[Dataset]) -> None:
    """Put what the groups say into the header, as new elements, because headers share those that they have."""
    for group in groups:
        for sequence, keywords in _GROUPS.items():
            for item in _items(group, sequence)[:1]:
                for keyword in keywords:
                    if keyword in item:
                        element = item[keyword]
                        header[element.tag] = element
        for sequence in _FRAME_TYPES:
            for item in _items(group, sequence)[:1]:
                _put(header, "ImageType", item.get("FrameType"))
        for item in _items(group, "FrameAnatomySequence")[:1]:
            _name_anatomy(header, item)


def _name_anatomy(header: Dataset, item: Dataset) -> None:
    """Frame Anatomy (PS3.3 section C.7.6.16.2.8) in the words of a single-frame image, where it has none of them."""
    if not header.get("BodyPartExamined"):
        _put(header, "BodyPartExamined", body_part(_items(item, "AnatomicRegionSequence")))
    side = str(item.get("FrameLaterality") or "")
    if side in ("R", "L") and not header.get("Laterality"):
        _put(header, "ImageLaterality", side)


def _put(header: Dataset, keyword: str, value: object) -> None:
    if value:
        tag = Tag(keyword)
        header.add_new(tag, dictionary_VR(tag), value)
