"""Which finding speaks of which segment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.findings.segment import SegmentDescription
from storage.domain.finding import Finding

Labels = npt.NDArray[np.uint8]
Areas = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment with its finding.

    ``number`` is the Segment Number (0062,0004) in the segmentation, which counts the segments that have a voxel,
    from 1 and without gaps as the Standard wants it; 0 when the segment has no voxel and is not in there. ``areas``
    are its pixels on each slice.
    """

    segment: SegmentDescription
    finding: Finding
    number: int
    areas: Areas = field(compare=False, repr=False)


def pair(labels: Labels, segments: Sequence[SegmentDescription], findings: Sequence[Finding]) -> list[FoundSegment]:
    """Match each segment with the one finding of the same kind and site, in the order of the segments.

    Raises:
        ValueError: a segment has no finding, or more than one, or a finding has no segment.
    """
    # Most of an image is background, and counting makes a large integer of each pixel that it counts.
    areas = np.array([np.bincount(one[one != 0], minlength=256) for one in labels])
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
        paired.append(FoundSegment(segment, matching[0], number if present else 0, areas[:, segment.number]))
    return paired
