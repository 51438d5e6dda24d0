"""Series of single images put into one multi-frame instance, as scanners of the last years send them."""

import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    ExplicitVRLittleEndian,
)

Edit = Callable[[int, Dataset], None]

CLASSES = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}
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
_MOVED = {keyword for keywords in (*_SHARED.values(), *_OF_EACH.values()) for keyword in keywords}


def enhanced(images: Sequence[Dataset], uid: str | None = None, edit: Edit | None = None) -> Dataset:
    """One Enhanced CT, MR or PET instance whose frames are these images, in this order.

    ``edit`` may change the functional groups of each frame. Without ``uid`` its SOP Instance UID follows from that of
    the first image.
    """
    first = images[0]
    instance = Dataset()
    for element in first:
        if element.keyword not in _MOVED | {"PixelData"}:
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


def frame_values(instance: Dataset) -> np.ndarray:
    """The stored 16-bit values, as (frame, row, column)."""
    kind = "<i2" if instance.PixelRepresentation else "<u2"
    return np.frombuffer(instance.PixelData, kind).reshape(-1, instance.Rows, instance.Columns)
