"""Which finding speaks of which segment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.findings.segment import SegmentDescription
from storage.domain.finding import Finding

Labels = npt.NDArray[np.uint8]
Areas = npt.NDArray[np.int64]
Spans = npt.NDArray[np.int64]  # as (slice, 2): the first pixel and the one behind the last, counted row by row


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment with its finding.

    ``number`` is the Segment Number (0062,0004) in the segmentation, which counts the segments that have a voxel,
    from 1 and without gaps as the Standard wants it; 0 when the segment has no voxel and is not in there. ``areas``
    are its pixels on each slice, and ``spans`` where on the slice these are.
    """

    segment: SegmentDescription
    finding: Finding
    number: int
    areas: Areas = field(compare=False, repr=False)
    spans: Spans = field(compare=False, repr=False)


def pair(labels: Labels, segments: Sequence[SegmentDescription], findings: Sequence[Finding]) -> list[FoundSegment]:
    """Match each segment with the one finding of the same kind and site, in the order of the segments.

    Raises:
        ValueError: a segment has no finding, or more than one, or a finding has no segment.
    """
    counted = [_counted(one) for one in labels]
    areas, spans = np.stack([one for one, _ in counted]), np.stack([one for _, one in counted])
    if areas[:, 1:].sum() != sum(areas[:, segment.number].sum() for segment in segments):
        raise ValueError("The label array has values that no segment describes.")
    if len(findings) != len(segments):
        raise ValueError("Each segment needs exactly one finding, of volume 0 when it has no voxel.")
    paired = []
    number = 0
    for segment in segments:
        matching = [one for one in findings if (one.kind, one.site) == (segment.type, segment.site)]
        if len(matching) != 1:
            raise ValueError("Each segment needs exactly one finding with its type as kind and with its site.")
        present = bool(areas[:, segment.number].any())
        number += present
        paired.append(
            FoundSegment(
                segment, matching[0], number if present else 0, areas[:, segment.number], spans[:, segment.number]
            )
        )
    return paired


def _counted(plane: Labels) -> tuple[Areas, Spans]:
    """Area and span of every label on a slice; runs of one label are few, and pixels many."""
    pixels = plane.reshape(-1)
    # Most slices have nothing, which is known several times as soon.
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) if pixels.any() else np.empty(0, np.int64)
    ends = np.append(changes + 1, pixels.size)
    starts = np.concatenate(([0], ends[:-1]))
    labels = pixels[starts]
    spans = np.zeros((256, 2), np.int64)
    spans[labels[::-1], 0] = starts[::-1]  # of several values for one place the last one stays
    spans[labels, 1] = ends
    return np.bincount(labels, ends - starts, 256).astype(np.int64), spans
