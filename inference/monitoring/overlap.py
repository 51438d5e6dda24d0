"""How far the structures of a shadow lie where the active version outlined them."""

import io
from collections.abc import Iterable, Mapping

import pydicom

from inference.acceptance.masks import BROKEN, Mask, dice, masks_of
from inference.errors import InvalidAcceptanceSet
from inference.model_child.memory import limit_bytes
from storage.domain.job_statistics import overlap_name
from storage.domain.result import ActiveOutline, EvidenceForm, EvidenceObject

_BINARY = (EvidenceForm.BINARY, EvidenceForm.BINARY_UNALIGNED)
_SHARE = 8  # of what the process may use, one part is for the bits of both objects; reading them takes some more


class _TooLarge(Exception):
    """Both objects together are more than this process may hold beside its work."""


def overlaps(evidence: Iterable[EvidenceObject], active: ActiveOutline) -> dict[str, float]:
    """The Dice of each structure that one of the two outlined, among the scores of the shadow; 0 where only one did.

    Voxels are compared image by image, so it is 0 as well where the two looked at different images. A file of the
    active version that is missing or damaged gives no Dice: monitoring never fails a job.

    A voxel takes one bit of memory, and one image after the other is unpacked, however many structures there are. Where
    the bits alone are more than an eighth of what ``[worker] memory_gib`` allows, there is no Dice either.
    """
    try:
        room = limit_bytes() // _SHARE
        there_size = active.segmentation.stat().st_size if active.segmentation else 0
        if there_size > room:
            return {}
        here = _masks(_whole((one.pieces for one in evidence if one.form in _BINARY), room - there_size))
        there = _masks(active.segmentation.read_bytes() if active.segmentation else None)
        return {
            overlap_name(label, active.version): dice(here.get(label, {}), there.get(label, {}))
            for label in sorted({*here, *there})
        }
    except (*BROKEN, InvalidAcceptanceSet, MemoryError, _TooLarge):
        return {}


def _whole(objects: Iterable[Iterable[bytes]], room: int) -> bytes | None:
    """The first of these objects, if there is one. Raises _TooLarge."""
    pieces = next(iter(objects), None)
    if pieces is None:
        return None
    content = io.BytesIO()
    for piece in pieces:
        if content.tell() + len(piece) > room:
            raise _TooLarge
        content.write(piece)
    return content.getvalue()


def _masks(part10: bytes | None) -> Mapping[str, Mask]:
    return {} if part10 is None else masks_of(pydicom.dcmread(io.BytesIO(part10)))
