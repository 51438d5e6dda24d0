"""The segmentation as a BINARY Segmentation object on the grid of its source images (PS3.3 section A.51)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from inference.evidence.attributes import complete, series_description
from inference.evidence.context import EvidenceContext
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.segment_frames import Frames
from inference.evidence.sparse_segmentation import Framed, sparse_segmentation
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole

_ROLE = EvidenceRole.SEGMENTATION
_LONGEST_LABEL = 24  # letters of a Series Description; the algorithm's name and the mark stand beside it
_KIND = {"segmentation_type": "BINARY"}


def build_segmentation(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]) -> EvidenceObject:
    """The segments that have a voxel, sparse, frame by frame derived from their source image.

    BINARY in Explicit VR Little Endian on the unchanged source grid with a Derivation Image Sequence in every
    frame is what every reader tried shows at the right place. At least one segment must have a voxel.
    """
    present = [one for one in found if one.number]
    return _binary(context, labels, present, _Naming("segmentation", "segmentation", EvidenceForm.BINARY))


def build_segmentation_per_segment(
    context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]
) -> tuple[EvidenceObject, ...]:
    """The same, one object for each segment that has a voxel, in which it is Segment Number 1.

    Each is in a series of its own, because viewers take one segmentation of a series, and has the tracking UID that
    its segment has in every other form.
    """
    return tuple(
        _binary(
            context,
            labels,
            [replace(one, number=1)],
            _Naming(
                f"segmentation {one.segment.number}",
                one.segment.label[:_LONGEST_LABEL].rstrip(),
                EvidenceForm.BINARY_PER_SEGMENT,
            ),
        )
        for one in found
        if one.number
    )


@dataclass(frozen=True, slots=True)
class _Naming:
    """What its UIDs are derived from, what it is in the words of the Series Description, and its form."""

    part: str
    what: str
    form: EvidenceForm


def _binary(
    context: EvidenceContext, labels: Labels, present: Sequence[FoundSegment], naming: _Naming
) -> EvidenceObject:
    sparse = sparse_segmentation(context, _framed(labels, present), present, naming.part, _KIND)
    frames = Frames(labels, sparse.frames, sparse.items)
    description = series_description(context, naming.what)
    return complete(sparse.seg, context, _ROLE, description, frames, naming.form, sparse.lists)


def _framed(labels: Labels, present: Sequence[FoundSegment]) -> Framed:
    """Which segment has a frame on which slice, as (slice, segment).

    When Rows * Columns is no multiple of 8, frames share bytes; if their sum is odd, the pad byte that PS3.5
    asks for is more than some readers expect, and OHIF 3.13 shows nothing. Further empty frames mend that. Where
    there are too few frames to add, the length stays.

    For such a matrix OHIF 3.13.2 has a second fault that nothing here can mend: it reads the shared bytes from the
    wrong end and draws frames that do not begin at a byte boundary with their pixels shuffled in groups of eight.
    """
    framed = np.stack([one.areas > 0 for one in present], axis=1).astype(np.uint8)
    missing = _missing_frames(labels[0].size, int(framed.sum()))
    free = np.argwhere(framed.T == 0)[:missing]
    if len(free) == missing:
        framed[free[:, 1], free[:, 0]] = 1
    return framed


@cache
def _missing_frames(pixels: int, frames: int) -> int:
    """How many more frames of so many pixels make the bit-packed length in bytes even."""
    more = 0
    while pixels % 8 and -(-pixels * (frames + more) // 8) % 2:
        more += 1
    return more
