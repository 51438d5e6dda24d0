"""How far boxes lie over each other, on images and in volumes."""

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float64]  # low edges along each axis, then high edges


def overlaps(box: Corners, others: Corners) -> Corners:
    """Intersection over union of a box with each of the others."""
    shared = _shared(box, others)
    return _ratio(shared, _extent(box) + _extent(others) - shared)


def shares_inside(box: Corners, others: Corners) -> Corners:
    """How much of a box lies in each of the others, 0 to 1."""
    return _ratio(_shared(box, others), np.broadcast_to(_extent(box), len(others)))


def _shared(box: Corners, others: Corners) -> Corners:
    axes = len(box) // 2
    inside = np.minimum(box[axes:], others[:, axes:]) - np.maximum(box[:axes], others[:, :axes])
    return np.asarray(np.prod(np.maximum(inside, 0), axis=1))


def _extent(boxes: Corners) -> Corners:
    axes = boxes.shape[-1] // 2
    return np.asarray(np.prod(boxes[..., axes:] - boxes[..., :axes], axis=-1))


def _ratio(shared: Corners, whole: Corners) -> Corners:
    return np.asarray(np.divide(shared, whole, out=np.zeros(len(shared)), where=whole > 0))
