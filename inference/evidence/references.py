"""How evidence refers to images: by class and instance, and by frame where the image is a frame of its instance.

highdicom builds segmentations and presentation states on single-frame images, or on one multi-frame image with all its
groups. To have one way for all series, a frame goes in as an image of its own under a UID that stands in for it, and
``name_frames`` puts instance and frame in its place before anybody sees it.
"""

import uuid
from collections.abc import Iterable, Sequence

from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from inference.imaging.frames import frame_count, frame_number, image_key

# Sequences that list instances, as PS3.3 sections C.12.2 and table 10-11 want them: a frame has no place there.
_OF_INSTANCES = frozenset({"ReferencedInstanceSequence", "ReferencedSOPSequence"})


def reference(image: Dataset) -> Dataset:
    """An item that refers to one image (PS3.3 table 10-3)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    number = frame_number(image)
    if number is not None:
        item.ReferencedFrameNumber = number
    return item


def references(images: Iterable[Dataset]) -> list[Dataset]:
    """Items that refer to images, one for each instance, with its frames unless all of them are meant."""
    instances: dict[str, list[Dataset]] = {}
    for image in images:
        instances.setdefault(str(image.SOPInstanceUID), []).append(image)
    return [_to_frames(reference(frames[0]), frames) for frames in instances.values()]


def instance_references(images: Iterable[Dataset]) -> list[Dataset]:
    """Items that refer to the instances of images, whatever their frames (PS3.3 table 10-11)."""
    items = references(images)
    for item in items:
        item.pop("ReferencedFrameNumber", None)
    return items


def _to_frames(item: Dataset, frames: Sequence[Dataset]) -> Dataset:
    """Let an item refer to these frames of one instance; several have one number each, all of them have none."""
    numbers = sorted({number for number in map(frame_number, frames) if number is not None})
    if len(numbers) > 1 and len(numbers) == frame_count(frames[0]):
        item.pop("ReferencedFrameNumber", None)
    elif len(numbers) > 1:
        item.ReferencedFrameNumber = numbers
    return item


def referred_image(item: Dataset) -> tuple[str, int | None]:
    """The key of the image (``frames.image_key``) that an item refers to."""
    number = item.get("ReferencedFrameNumber")
    return str(item.ReferencedSOPInstanceUID), None if number is None else int(number)


def as_single_frame(copy: Dataset, source: Dataset) -> Dataset:
    """Let ``copy``, what highdicom is given of ``source``, pass for an image of its own where it is a frame."""
    if frame_number(source) is not None:
        del copy.SOPClassUID, copy.SOPInstanceUID  # elements that the source still uses
        copy.SOPClassUID, copy.SOPInstanceUID = SecondaryCaptureImageStorage, _stand_in_uid(source)
    return copy


def _stand_in_uid(source: Dataset) -> str:
    uid, number = image_key(source)
    return uid if number is None else f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{uid} {number}').int}"


def places_by_stand_in(sources: Sequence[Dataset]) -> dict[str, int]:
    """Where in ``sources`` an image stands, by the UID under which highdicom knows it."""
    return {_stand_in_uid(source): index for index, source in enumerate(sources)}


def name_frames(datasets: Iterable[Dataset], sources: Sequence[Dataset]) -> None:
    """Replace the UIDs that stand in for frames of ``sources`` by instance and frame number, in whatever sequence."""
    frames = {_stand_in_uid(source): source for source in sources if frame_number(source) is not None}
    if frames:
        for dataset in datasets:
            _name_in(dataset, frames)


def _name_in(dataset: Dataset, frames: dict[str, Dataset]) -> None:
    for element in dataset:
        if element.VR != "SQ":
            continue
        if any(str(item.get("ReferencedSOPInstanceUID", "")) in frames for item in element.value):
            element.value = _merged(element.value, frames, with_numbers=element.keyword not in _OF_INSTANCES)
        else:
            for item in element.value:
                _name_in(item, frames)


def _merged(items: Iterable[Dataset], frames: dict[str, Dataset], *, with_numbers: bool) -> list[Dataset]:
    """The items with one for each instance; what else an item says is said of its first frame."""
    merged: list[Dataset] = []
    named: dict[str, tuple[Dataset, list[Dataset]]] = {}
    for item in items:
        source = frames.get(str(item.ReferencedSOPInstanceUID))
        if source is None:
            merged.append(item)
            continue
        uid = str(source.SOPInstanceUID)
        if uid not in named:
            copy = Dataset()  # highdicom puts the same item into several sequences
            copy.update(item)
            copy.update(reference(source))
            merged.append(copy)
            named[uid] = copy, []
        named[uid][1].append(source)
    for item, images in named.values():
        _to_frames(item, images)
        if not with_numbers:
            item.pop("ReferencedFrameNumber", None)
    return merged
