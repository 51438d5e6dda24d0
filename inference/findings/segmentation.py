"""From a network's output to one label per voxel of the source images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.algorithms.segmentation_manifest import Segment
from inference.algorithms.tensor import Tensor
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
        """The values of the segment of this number as (slice, row, column) of the source grid, 0 to 1."""
        return self.mapping.back(self.output[self.channels[number]], anti_aliasing=self.anti_aliasing)


def label_voxels(probabilities: Probabilities, segments: Sequence[Segment]) -> Labels:
    """One label per voxel as (slice, row, column) of the source grid; 0 is background.

    The output is taken back to the source grid before it is thresholded, so that the border is as fine as the images.
    Where several segments reach their threshold, the one with the highest value has the voxel.
    """
    labels = np.zeros(probabilities.mapping.source_shape, np.uint8)
    highest = np.zeros(labels.shape, np.float32)
    for segment in segments:
        values = probabilities.of(segment.number)
        chosen = (values >= segment.threshold) & (values > highest)
        labels[chosen] = segment.number
        highest[chosen] = values[chosen]
    for segment in segments:
        if segment.keep_largest_component:
            mask = labels == segment.number
            labels[mask & ~largest_component(mask)] = 0
    return labels


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part of a mask whose voxels touch by faces; the first in array order when two are equal."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = parts == int(np.argmax(sizes))
    return largest
