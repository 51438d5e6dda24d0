"""The images and objects that a report was made from: Current Requested Procedure Evidence (PS3.3 section C.17.2.3).

highdicom and pydicom take half a millisecond for each of hundreds of images. They are given those that the content
names, which highdicom wants to find there; the list of all is encoded here, as they would have it.
"""

from collections.abc import Iterable, Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.evidence.context import EvidenceContext
from inference.evidence.explicit_vr import element, sequence
from inference.evidence.frame_items import referring
from inference.evidence.sources import instance_stand_in, stand_in
from storage.domain.result import EvidenceObject

EVIDENCE = Tag("CurrentRequestedProcedureEvidenceSequence")

_SERIES_ITEMS, _INSTANCE_ITEMS = Tag("ReferencedSeriesSequence"), Tag("ReferencedSOPSequence")
_STUDY, _SERIES = Tag("StudyInstanceUID"), Tag("SeriesInstanceUID")


def named_images(context: EvidenceContext, contents: Iterable[Dataset]) -> list[Dataset]:
    """Stand-ins of the first image, of which highdicom copies the study, and of those that content items name."""
    named = {uid for content in contents for uid in _mentioned(content)}
    further = (one for one in context.sources[1:] if str(one.SOPInstanceUID) in named)
    return [stand_in(context.sources[0]), *map(instance_stand_in, further)]


def evidence_list(context: EvidenceContext, others: Sequence[EvidenceObject] = ()) -> bytes:
    """The element with the images, series by series, and behind them the ``others``, which are objects of ours.

    The image series stands first: readers take the first series of the evidence for the one that is outlined.

    Raises:
        ValueError: a UID is not ASCII.
    """
    listed: dict[str, list[bytes]] = {}
    for image in _once(context.sources):
        item = referring(str(image.SOPClassUID), str(image.SOPInstanceUID))
        listed.setdefault(str(image.SeriesInstanceUID), []).append(item)
    for one in others:
        listed.setdefault(one.series_instance_uid, []).append(referring(one.sop_class_uid, one.sop_instance_uid))
    series = [sequence(_INSTANCE_ITEMS, items) + element(_SERIES, "UI", [uid]) for uid, items in listed.items()]
    study = sequence(_SERIES_ITEMS, series) + element(_STUDY, "UI", [context.sources[0].StudyInstanceUID])
    return sequence(EVIDENCE, [study])


def _once(images: Iterable[Dataset]) -> Iterator[Dataset]:
    """One image of each instance, which may be many frames."""
    seen: set[str] = set()
    for image in images:
        uid = str(image.SOPInstanceUID)
        if uid not in seen:
            seen.add(uid)
            yield image


def _mentioned(item: Dataset) -> Iterator[str]:
    for reference in item.get("ReferencedSOPSequence", ()):
        yield str(reference.ReferencedSOPInstanceUID)
    for child in item.get("ContentSequence", ()):
        yield from _mentioned(child)
