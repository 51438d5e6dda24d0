"""The frames of a BINARY segmentation, bit-packed one after another (PS3.5 section 8.2, annex D).

They are cut from the labels when they are written, so their number costs no memory. Where the pixels of a frame are
no multiple of 8, the next one begins within a byte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inference.evidence.segment_findings import Labels

_TOGETHER = 8  # frames: so many end at a byte, whatever their size


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Which voxels each frame has: those of the ``label`` on the ``slice``, as pairs in the order of the frames."""

    labels: Labels
    places: Sequence[tuple[int, int]]

    @property
    def length(self) -> int:
        """Bytes of all frames, without the padding that makes them even."""
        return -(-len(self.places) * int(self.labels[0].size) // 8)

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in pieces."""
        if self.labels[0].size % 8 == 0:
            for index, label in self.places:
                yield np.packbits(self.labels[index] == label, bitorder="little").tobytes()
            return
        for start in range(0, len(self.places), _TOGETHER):
            group = self.places[start : start + _TOGETHER]
            yield np.packbits([self.labels[index] == label for index, label in group], bitorder="little").tobytes()
