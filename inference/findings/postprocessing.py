"""The steps of a manifest on the voxels of each segment: holes filled, parts left out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.algorithms.postprocessing_steps import FillHoles, LargestComponent, MinimumSize
from inference.algorithms.segmentation_manifest import Segment
from inference.imaging.extent import boxes

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_ML = 1000  # mm³


def postprocessed(labels: Labels, segments: Sequence[Segment], voxel_volume_mm3: float) -> Labels:
    """The labels after the steps of each segment: segment by segment by number, each with its steps as written.

    A step takes voxels from its own segment only and gives it background only, so that no segment loses a voxel to
    the steps of another. The array is changed in place.
    """
    stepped = [segment for segment in segments if segment.steps]
    found = boxes(labels) if stepped else []
    for segment in stepped:
        box = found[segment.number - 1]
        if box is None:
            continue
        part = labels[box]
        mask = part == segment.number
        for step in segment.steps:
            mask = _after(step, mask, part, segment.number, voxel_volume_mm3)
        part[(part == segment.number) & ~mask] = 0
        part[mask] = segment.number
    return labels


def _after(
    step: FillHoles | LargestComponent | MinimumSize, mask: Mask, part: Labels, number: int, voxel_volume_mm3: float
) -> Mask:
    if isinstance(step, FillHoles):
        return np.asarray(filled(mask, step.within) & ((part == 0) | (part == number)))
    if isinstance(step, LargestComponent):
        return largest_component(mask)
    least = step.voxels if step.voxels is not None else (step.ml or 0) * _ML / voxel_volume_mm3
    return without_small_components(mask, least)


def filled(mask: Mask, within: str) -> Mask:
    """The mask with what it encloses: on each slice by itself, or in the volume.

    Background belongs together where its voxels touch by faces, so that an edge of one voxel's width encloses.
    """
    if within == "volume":
        return np.asarray(ndimage.binary_fill_holes(mask), np.bool_)
    return np.stack([ndimage.binary_fill_holes(one) for one in mask]).astype(np.bool_)


def largest_component(mask: Mask) -> Mask:
    """The largest part of a mask whose voxels touch by faces; the first in array order when two are equal."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: Mask = parts == int(np.argmax(_sizes(parts)))
    return largest


def without_small_components(mask: Mask, least: float) -> Mask:
    """The parts of a mask that have at least so many voxels."""
    parts, _ = ndimage.label(mask)
    sizes = _sizes(parts)
    # A size in ml that stands for whole voxels must not lose a part to rounding.
    kept: Mask = (sizes >= least * (1 - 1e-9))[parts] & mask
    return kept


def count_components(mask: Mask) -> int:
    """How many parts a mask has whose voxels touch by faces."""
    return int(ndimage.label(mask)[1])


def _sizes(parts: NDArray[np.int32]) -> NDArray[np.int64]:
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return sizes
