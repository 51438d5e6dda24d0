"""Series of single images put into one multi-frame instance, as scanners of the last years send them."""

import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
from highdicom.seg import Segmentation
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from inference.imaging.frames import frame_headers, frame_number, image_key

Edit = Callable[[int, Dataset], None]

CLASSES = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}
SINGLE_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
FRAME_TYPES = {"CT": "CTImageFrameTypeSequence", "MR": "MRImageFrameTypeSequence", "PT": "PETFrameTypeSequence"}
_SHARED = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
}
_OF_EACH = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth"),
}
_OF_HEADERS = {"ReferencedFrameNumber", "StackID", "InStackPositionNumber", "PixelData"}
_MOVED = {keyword for keywords in (*_SHARED.values(), *_OF_EACH.values()) for keyword in keywords} | _OF_HEADERS


def enhanced(images: Sequence[Dataset], uid: str | None = None, edit: Edit | None = None) -> Dataset:
    """One Enhanced CT, MR or PET instance whose frames are these images, in this order.

    ``edit`` may change the functional groups of each frame. Without ``uid`` its SOP Instance UID follows from that of
    the first image.
    """
    first = images[0]
    instance = Dataset()
    for element in first:
        if element.keyword not in _MOVED:
            instance[element.tag] = deepcopy(element)
    modality, own_uid = str(first.Modality), f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, first.SOPInstanceUID).int}"
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.SOPClassUID, instance.SOPInstanceUID = (
        CLASSES[modality],
        uid or own_uid,
    )
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.InstanceNumber, instance.NumberOfFrames = 1, len(images)
    instance.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    instance.VolumetricProperties, instance.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    instance.PixelPresentation, instance.PresentationLUTShape = "MONOCHROME", "IDENTITY"
    instance.ContentDate, instance.ContentTime = "20260303", "101112"
    instance.AcquisitionDateTime = "20260303101112"
    _name_dimensions(instance)
    shared = _groups(first, _SHARED)
    frame_type = _item(FrameType=instance.ImageType, VolumetricProperties="VOLUME", PixelPresentation="MONOCHROME")
    frame_type.VolumeBasedCalculationTechnique = "NONE"
    setattr(shared, FRAME_TYPES[modality], [frame_type])
    instance.SharedFunctionalGroupsSequence = [shared]
    instance.PerFrameFunctionalGroupsSequence = [_of_frame(image, place) for place, image in enumerate(images, 1)]
    for place, groups in enumerate(instance.PerFrameFunctionalGroupsSequence):
        if edit is not None:
            edit(place, groups)
    if all("PixelData" in image for image in images):
        instance.PixelData = b"".join(image.PixelData for image in images)
        instance["PixelData"].VR = "OW"
    return instance


def _name_dimensions(instance: Dataset) -> None:
    uid = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, instance.SeriesInstanceUID).int}"
    instance.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=uid)]
    pointers = ((0x00209056, 0x00209111), (0x00209057, 0x00209111))  # Stack ID, In-Stack Position Number
    instance.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=uid, DimensionIndexPointer=pointer, FunctionalGroupPointer=group)
        for pointer, group in pointers
    ]


def _of_frame(image: Dataset, place: int) -> Dataset:
    groups = _groups(image, _OF_EACH)
    content = _item(StackID="1", InStackPositionNumber=place, DimensionIndexValues=[1, place])
    groups.FrameContentSequence = [content]
    return groups


def _groups(image: Dataset, table: dict[str, tuple[str, ...]]) -> Dataset:
    groups = Dataset()
    for sequence, keywords in table.items():
        values = {keyword: image[keyword].value for keyword in keywords if keyword in image}
        if values:
            setattr(groups, sequence, [_item(**values)])
    for item in groups.get("PixelValueTransformationSequence", ()):
        item.RescaleType = item.get("RescaleType", "US")
    return groups


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def as_frames(images: Sequence[Dataset], order: Sequence[int]) -> tuple[Dataset, ...]:
    """The images as frames of one instance that was received, each with its own Pixel Data.

    ``order`` has the places of the images in the order of their frame numbers; the frames come back in the order of the
    images.
    """
    buffer = BytesIO()
    enhanced([images[place] for place in order]).save_as(buffer, enforce_file_format=True)
    instance = dcmread(BytesIO(buffer.getvalue()))
    pixels = instance.PixelData
    size = len(pixels) // len(images)
    del instance.PixelData
    frames = frame_headers(instance)
    for index, frame in enumerate(frames):
        frame.PixelData = pixels[index * size : (index + 1) * size]
    return tuple(frames[order.index(place)] for place in range(len(images)))


def files_of(images: Sequence[Dataset]) -> list[Dataset]:
    """What was sent: the images themselves, or the one instance whose frames they all are."""
    if frame_number(images[0]) is None:
        return list(images)
    in_order = sorted(images, key=lambda one: frame_number(one) or 0)
    return [enhanced(in_order, str(images[0].SOPInstanceUID))]


def single_image(image: Dataset) -> Dataset:
    """The image as a file of its own, whether it came as one or as a frame."""
    alone = deepcopy(image)
    if frame_number(image) is None:
        return alone
    del alone.NumberOfFrames, alone.ReferencedFrameNumber
    alone.SOPClassUID = SINGLE_CLASSES[str(image.Modality)]
    alone.SOPInstanceUID = f"2.25.{frame_number(image)}"
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return alone


def pixels_by_image(segmentation: Segmentation, images: Sequence[Dataset], **wanted: Any) -> np.ndarray:
    """What highdicom reads for each of the images, by their UIDs or by their frame numbers in the one instance."""
    numbers = [number for number in map(frame_number, images) if number is not None]
    if numbers:
        return segmentation.get_pixels_by_source_frame(images[0].SOPInstanceUID, numbers, **wanted)
    return segmentation.get_pixels_by_source_instance([image.SOPInstanceUID for image in images], **wanted)


def image_of(item: Dataset) -> tuple[str, int | None]:
    """The instance and the frame, if any, that an item refers to."""
    number = item.get("ReferencedFrameNumber")
    return str(item.ReferencedSOPInstanceUID), None if number is None else int(number)


def images_of(item: Dataset, images: Sequence[Dataset]) -> set[tuple[str, int | None]]:
    """Of ``images`` those that an item refers to, which may be several frames, or all of an instance."""
    wanted = item.get("ReferencedFrameNumber")
    numbers = None if wanted is None else {int(one) for one in np.atleast_1d(wanted)}
    return {
        image_key(one)
        for one in images
        if one.SOPInstanceUID == item.ReferencedSOPInstanceUID and (numbers is None or frame_number(one) in numbers)
    }
