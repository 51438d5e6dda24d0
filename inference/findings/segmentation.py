"""From a network's output to one label per voxel of the source images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.algorithms.engine import Tensor
from inference.algorithms.segmentation_manifest import Segment
from inference.imaging.resampling import GridMap

Labels = NDArray[np.uint8]


def label_voxels(output: Tensor, segments: Sequence[Segment], mapping: GridMap, *, anti_aliasing: bool) -> Labels:
    """One label per voxel as (slice, row, column) of the source grid; 0 is background.

    The output, (channel, three axes of the network's grid), is taken back to the source grid before it is
    thresholded, so that the border is as fine as the images. Where several segments reach their threshold, the
    one with the highest value has the voxel.
    """
    labels = np.zeros(mapping.source_shape, np.uint8)
    highest = np.zeros(mapping.source_shape, np.float32)
    for segment in segments:
        values = mapping.back(output[segment.channel], anti_aliasing=anti_aliasing)
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
