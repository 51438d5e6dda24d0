"""How far the structures of a shadow lie where the active version outlined them."""

import io
from collections.abc import Iterable

import pydicom
from pydicom import Dataset

from inference.acceptance.masks import BROKEN, Mask, dice, mask_of
from inference.errors import InvalidAcceptanceSet
from storage.domain.job_statistics import overlap_name
from storage.domain.result import ActiveOutline, EvidenceForm, EvidenceObject

_BINARY = (EvidenceForm.BINARY, EvidenceForm.BINARY_UNALIGNED)


def overlaps(evidence: Iterable[EvidenceObject], active: ActiveOutline) -> dict[str, float]:
    """The Dice of each structure that one of the two outlined, among the scores of the shadow; 0 where only one did.

    Voxels are compared image by image, so it is 0 as well where the two looked at different images. A file of the
    active version that is missing or damaged gives no Dice: monitoring never fails a job.
    """
    try:
        here = _segmentation(b"".join(one.pieces) for one in evidence if one.form in _BINARY)
        there = _segmentation([active.segmentation.read_bytes()] if active.segmentation else [])
        labels = sorted({*_labels(here), *_labels(there)})
        return {overlap_name(label, active.version): dice(_mask(here, label), _mask(there, label)) for label in labels}
    except (*BROKEN, InvalidAcceptanceSet):
        return {}


def _segmentation(contents: Iterable[bytes]) -> Dataset | None:
    content = next(iter(contents), None)
    return None if content is None else pydicom.dcmread(io.BytesIO(content))


def _labels(segmentation: Dataset | None) -> list[str]:
    return [] if segmentation is None else [str(one.SegmentLabel) for one in segmentation.SegmentSequence]


def _mask(segmentation: Dataset | None, label: str) -> Mask:
    return mask_of(segmentation, label) if segmentation is not None and label in _labels(segmentation) else {}
