"""What a segmentation says of its source images and of the frame on each, encoded in Explicit VR Little Endian.

highdicom and pydicom take more than a millisecond for each image. They are given the first one only; what they say of
that one is said here of every other in the same words (PS3.3 sections C.7.6.16 and C.12.2).
"""

from collections.abc import Sequence

from highdicom.seg import Segmentation
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from inference.evidence.explicit_vr import element, encoded, sequence
from inference.evidence.references import instance_references, references
from inference.evidence.stack_places import StackPlaces
from inference.imaging.frames import frame_number

_DERIVATION_IMAGE = Tag("DerivationImageSequence")
_SOURCE_IMAGE = Tag("SourceImageSequence")
_REFERENCED_SERIES = Tag("ReferencedSeriesSequence")
_REFERENCED_INSTANCE = Tag("ReferencedInstanceSequence")
_FRAME_CONTENT = Tag("FrameContentSequence")
_PLANE_POSITION = Tag("PlanePositionSequence")
_DIMENSION_INDEX_VALUES = Tag("DimensionIndexValues")
_POSITION = Tag("ImagePositionPatient")
_SOP_CLASS, _REFERENCED_SOP_CLASS = Tag("SOPClassUID"), Tag("ReferencedSOPClassUID")
_SOP_INSTANCE, _REFERENCED_SOP_INSTANCE = Tag("SOPInstanceUID"), Tag("ReferencedSOPInstanceUID")
_REFERENCED_FRAME = Tag("ReferencedFrameNumber")


def frame_items(
    first: Dataset, sources: Sequence[Dataset], order: Sequence[int], places: StackPlaces | None
) -> dict[int, bytes]:
    """The functional groups of a frame on each of the images in ``order``, the segment being the first dimension.

    ``first`` are those that highdicom made of the first image; without ``places`` there is no other.
    """
    (derivation,) = first.DerivationImageSequence
    (source,) = derivation.SourceImageSequence
    said_of_source = encoded(_without(source, _REFERENCED_SOP_CLASS, _REFERENCED_SOP_INSTANCE))
    said_of_derivation = encoded(_without(derivation, _SOURCE_IMAGE))
    said_of_frame = encoded(_without(first, _DERIVATION_IMAGE, _FRAME_CONTENT, _PLANE_POSITION))

    def item(place: int, index: int) -> bytes:
        named = _reference(sources[index]) + said_of_source
        groups = [
            sequence(_DERIVATION_IMAGE, [sequence(_SOURCE_IMAGE, [named]) + said_of_derivation]),
            sequence(_FRAME_CONTENT, [element(_DIMENSION_INDEX_VALUES, "UL", [1] if places is None else [1, place])]),
        ]
        if places is not None:
            groups.append(sequence(_PLANE_POSITION, [element(_POSITION, "DS", places.positions[index])]))
        return b"".join([*groups, said_of_frame])

    return {index: item(place, index) for place, index in enumerate(order, start=1)}


def source_lists(seg: Segmentation, sources: Sequence[Dataset]) -> dict[BaseTag, bytes]:
    """Take the lists of source images from an object that has the first one only, and give those of all."""
    (series,) = seg.ReferencedSeriesSequence
    del series.ReferencedInstanceSequence, seg.ReferencedSeriesSequence, seg.SourceImageSequence
    instances = instance_items(sources)
    framed = any(frame_number(one) is not None for one in sources)
    images = [encoded(one) for one in references(sources)] if framed else instances
    listed = sequence(_REFERENCED_INSTANCE, instances)
    return {
        _REFERENCED_SERIES: sequence(_REFERENCED_SERIES, [listed + encoded(series)]),
        _SOURCE_IMAGE: sequence(_SOURCE_IMAGE, images),
    }


def instance_items(sources: Sequence[Dataset]) -> list[bytes]:
    """What ``references.instance_references`` says of images."""
    if any(frame_number(one) is not None for one in sources):
        return [encoded(one) for one in instance_references(sources)]
    return [_reference(one) for one in sources]


def referring(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """An item that refers to an instance (PS3.3 table 10-11)."""
    item = element(_REFERENCED_SOP_CLASS, "UI", [sop_class_uid])
    return item + element(_REFERENCED_SOP_INSTANCE, "UI", [sop_instance_uid])


def _reference(image: Dataset) -> bytes:
    """What ``references.reference`` says of an image."""
    item = referring(image[_SOP_CLASS].value, image[_SOP_INSTANCE].value)
    number = frame_number(image)
    return item if number is None else item + element(_REFERENCED_FRAME, "IS", [number])


def _without(data_set: Dataset, *tags: BaseTag) -> Dataset:
    return Dataset({tag: element for tag, element in data_set.items() if tag not in tags})
