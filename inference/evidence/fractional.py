"""The segmentation as a FRACTIONAL Segmentation object of probabilities (PS3.3 section C.8.20.2.3).

For destinations that take no other form; a reader that knows only masks inflates it, so it stands in last.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from inference.evidence.attributes import complete, series_description
from inference.evidence.context import EvidenceContext
from inference.evidence.segment_findings import FoundSegment
from inference.evidence.segment_frames import Frame, functional_groups
from inference.evidence.sparse_segmentation import Framed, sparse_segmentation
from inference.findings.segmentation import Probabilities
from storage.domain.result import EvidenceObject, EvidenceRole

MOST_BYTES = 2**30  # of the pixels
MOST = 255  # Maximum Fractional Value (0062,000E): a probability of 1

_KIND = {"segmentation_type": "FRACTIONAL", "fractional_type": "PROBABILITY", "max_fractional_value": MOST}
_ELEMENT = struct.Struct("<HH2sHL")  # tag, VR, reserved, length (PS3.5 section 7.1.2)
_Steps = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class FractionalFrames:
    """All frames, in the order of the object, segment by segment; ``items`` as for ``functional_groups``."""

    probabilities: Probabilities
    frames: Sequence[Frame]
    items: Mapping[int, bytes]
    pixels: int

    def functional_groups(self) -> Iterator[bytes]:
        """The Per-frame Functional Groups Sequence, in pieces."""
        return functional_groups(self.frames, self.items)

    def pixel_data(self) -> Iterator[bytes]:
        """The Pixel Data (7FE0,0010), in pieces."""
        length = len(self.frames) * self.pixels
        yield _ELEMENT.pack(0x7FE0, 0x0010, b"OB", 0, length + length % 2)
        for label, frames in groupby(self.frames, key=lambda one: one.label):
            values = self.probabilities.of(label)
            for frame in frames:
                yield _steps(values[frame.slice_index]).tobytes()
        yield bytes(length % 2)


def build_fractional(
    context: EvidenceContext, found: Sequence[FoundSegment], probabilities: Probabilities
) -> tuple[EvidenceObject, ...]:
    """The segments that have a voxel, on the slices where they are in any way probable; none when it were too large.

    At least one segment must have a voxel.
    """
    present = [one for one in found if one.number]
    framed = _framed(present, probabilities)
    pixels = int(context.sources[0].Rows) * int(context.sources[0].Columns)
    if int(framed.sum()) * pixels > MOST_BYTES:
        return ()
    sparse = sparse_segmentation(context, framed, present, "fractional", _KIND)
    frames = FractionalFrames(probabilities, sparse.frames, sparse.items, pixels)
    description = series_description(context, "probabilities")
    return (complete(sparse.seg, context, EvidenceRole.SEGMENTATION, description, frames, encoded=sparse.lists),)


def _framed(present: Sequence[FoundSegment], probabilities: Probabilities) -> Framed:
    """Where a value is left after rounding, or the segment has a voxel although its threshold is lower than that."""
    columns = []
    for one in present:
        values = probabilities.of(one.segment.number)
        columns.append([bool(area) or _steps(plane).any() for area, plane in zip(one.areas, values, strict=True)])
    return np.array(columns, np.uint8).T


def _steps(plane: npt.NDArray[np.float32]) -> _Steps:
    steps: _Steps = np.rint(np.clip(plane, 0, 1) * MOST).astype(np.uint8)
    return steps
