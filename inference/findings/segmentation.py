"""From a network's output to one label per voxel of the source images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.segmentation_manifest import Segment
from inference.algorithms.tensor import Tensor
from inference.errors import InvalidOutput
from inference.imaging.resampling import GridMap

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """How sure a network is of each segment.

    Only the network's own ``output``, (channel, three axes of its grid), is kept; the values on the source grid are
    made anew whenever they are asked for, so that those of one segment at a time are in memory. ``channels`` says
    for each segment's number where its values are.
    """

    output: Tensor = field(repr=False)
    channels: Mapping[int, int]
    mapping: GridMap
    anti_aliasing: bool = True

    def of(self, number: int) -> NDArray[np.float32]:
        """The values of the segment of this number as (slice, row, column) of the source grid, 0 to 1.

        Raises:
            InvalidOutput: the output has no such channel.
        """
        if self.channels[number] >= len(self.output):
            raise InvalidOutput("The algorithm's output has no channel for one of its segments; compare its manifest.")
        return self.mapping.back(self.output[self.channels[number]], anti_aliasing=self.anti_aliasing)


def label_voxels(probabilities: Probabilities, segments: Sequence[Segment]) -> Labels:
    """One label per voxel as (slice, row, column) of the source grid; 0 is background.

    The output is taken back to the source grid before it is thresholded, so that the border is as fine as the images.
    Where several segments reach their threshold, the one with the highest value has the voxel.
    """
    labels = np.zeros(probabilities.mapping.source_shape, np.uint8)
    highest = np.zeros(labels.shape, np.float32) if len(segments) > 1 else None
    for segment in segments:
        values = probabilities.of(segment.number)
        # Slice by slice: what is compared then stays in the processor's cache, and most slices have nothing.
        for index, of_slice in enumerate(values):
            chosen = of_slice >= segment.threshold
            if not chosen.any():
                continue
            chosen &= of_slice > (0 if highest is None else highest[index])
            labels[index][chosen] = segment.number
            if highest is not None:
                highest[index][chosen] = of_slice[chosen]
    return labels
