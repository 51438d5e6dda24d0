"""Where in a large array there is anything."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, slice, slice]


def extent(labels: NDArray[np.uint8]) -> Box | None:
    """The smallest part of a volume of three axes that holds every voxel other than 0; ``None`` where all are 0.

    Most of a volume is background, which is passed over a slice at a time, several times as fast as voxel by voxel.
    """
    slices = np.array([bool(one.any()) for one in labels])
    if not slices.any():
        return None
    first, end = _ends(slices)
    seen = np.logical_or.reduce(labels[first:end], axis=0)
    rows, columns = _ends(seen.any(axis=1)), _ends(seen.any(axis=0))
    return slice(first, end), slice(*rows), slice(*columns)


def boxes(labels: NDArray[np.uint8]) -> list[Box | None]:
    """The box of each label from 1 to 255, at its place less one; ``None`` for one that no voxel has."""
    whole = extent(labels)
    if whole is None:
        return [None] * 255
    found = ndimage.find_objects(labels[whole], max_label=255)
    return [None if box is None else _moved(box, whole) for box in found]


def _moved(box: Box, whole: Box) -> Box:
    first, second, third = (
        slice(part.start + by.start, part.stop + by.start) for part, by in zip(box, whole, strict=True)
    )
    return first, second, third


def _ends(there: NDArray[np.bool_]) -> tuple[int, int]:
    places = np.flatnonzero(there)
    return int(places[0]), int(places[-1]) + 1
