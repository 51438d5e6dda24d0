"""From boxes in a volume to boxes on its slices."""

from math import ceil

from inference.algorithms.checked_boxes import ImageBoxes
from inference.findings.boxes import Box, Chain
from inference.imaging.resampling import GridMap


def on_slices(found: ImageBoxes, mapping: GridMap) -> dict[int, list[Chain]]:
    """Of each class number the boxes of the network's grid, each as a box on every slice whose middle it covers.

    One that lies between the middles of two slices is on the slice that it lies in. A box of which nothing lies in the
    source is left out.
    """
    chains: dict[int, list[Chain]] = {}
    for corners, score, label in zip(mapping.boxes_back(found.boxes), found.scores, found.labels, strict=True):
        low, top, left, high, bottom, right = (float(edge) for edge in corners)
        if not (low < high and top < bottom and left < right):
            continue
        chain = tuple(
            Box(index, top, left, bottom, right, float(score)) for index in _slices(low, high, mapping.source_shape[0])
        )
        chains.setdefault(int(label), []).append(chain)
    return chains


def _slices(low: float, high: float, count: int) -> range:
    """The slices whose middles lie from ``low`` up to ``high``, in slices; else the one in which the box lies."""
    first, end = ceil(low - 0.5), ceil(high - 0.5)
    if first < end:
        return range(first, end)
    within = min(int((low + high) / 2), count - 1)
    return range(within, within + 1)
