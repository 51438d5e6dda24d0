"""From the boxes of single images to findings of a series: the best of those that overlap, over all their slices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.checked_boxes import ImageBoxes
from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.imaging.plane import image_box

Corners = NDArray[np.float64]

_MOST_PER_IMAGE = 1000  # of a class above its threshold, the surest ones; so many overlap anyway


@dataclass(frozen=True, slots=True)
class Box:
    """A box of one class on the image at place ``index``, edges in its pixels, origin at its top left corner."""

    index: int
    top: float
    left: float
    bottom: float
    right: float
    score: float

    @property
    def order(self) -> tuple[float, ...]:
        """The surest first, then by place: what is equal in all of it is the same box."""
        return -self.score, self.index, self.top, self.left, self.bottom, self.right


Chain = tuple[Box, ...]  # one thing: a box on each of some neighbouring slices, in their order


def on_image(found: ImageBoxes, index: int, shape: tuple[int, int], image: ImagePreprocessing) -> list[tuple[int, Box]]:
    """The boxes with their class numbers, on the image they were made from; what lies beyond its edges is cut off.

    A box of which nothing is left, such as one in the borders that fill up the network's input, is left out.
    """
    inside, (rows, columns) = image_box(shape, image), shape
    scale = np.array([columns / inside.columns, rows / inside.rows] * 2)
    corners = (found.boxes - np.array([inside.left, inside.top] * 2)) * scale
    corners = np.clip(corners, 0, [columns, rows, columns, rows])
    return [
        (int(label), Box(index, float(top), float(left), float(bottom), float(right), float(score)))
        for (left, top, right, bottom), score, label in zip(corners, found.scores, found.labels, strict=True)
        if right > left and bottom > top
    ]


def suppressed(boxes: Sequence[Box], iou: float) -> list[Box]:
    """The boxes of one class on one image, the surest first, without those that overlap a surer one by more."""
    left = sorted(boxes, key=lambda one: one.order)[:_MOST_PER_IMAGE]
    kept: list[Box] = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [one for one in left if overlap(best, one) <= iou]
    return kept


def merged(boxes: Sequence[Box], iou: float) -> list[tuple[Box, ...]]:
    """The boxes of one class as findings: a chain of boxes, one a slice, each overlapping the one before it.

    On each slice the pairs that overlap most are joined first. The findings come with the surest box first.
    """
    chains: list[list[Box]] = []
    slices: dict[int, list[Box]] = {}
    for box in sorted(boxes, key=lambda one: one.order):
        slices.setdefault(box.index, []).append(box)
    for index in sorted(slices):
        open_chains = [chain for chain in chains if chain[-1].index == index - 1]
        joined = dict(_pairs(open_chains, slices[index], iou))
        for place, box in enumerate(slices[index]):
            if place in joined:
                open_chains[joined[place]].append(box)
            else:
                chains.append([box])
    return sorted((tuple(chain) for chain in chains), key=lambda chain: surest(chain).order)


def _pairs(chains: Sequence[Sequence[Box]], boxes: Sequence[Box], iou: float) -> Iterator[tuple[int, int]]:
    """Which box goes on with which chain, each once, by place."""
    candidates = sorted(
        (-overlap(chain[-1], box), end, place)
        for end, chain in enumerate(chains)
        for place, box in enumerate(boxes)
        if overlap(chain[-1], box) >= iou
    )
    ends, places = set(), set()
    for _, end, place in candidates:
        if end not in ends and place not in places:
            ends.add(end)
            places.add(place)
            yield place, end


def surest(chain: Sequence[Box]) -> Box:
    """The box with the highest score; of equal ones on neighbouring slices the middle one, else the first."""
    ordered = sorted(chain, key=lambda one: one.order)
    equal = [one for one in ordered if one.score == ordered[0].score]
    if len({one.index for one in equal}) == equal[-1].index - equal[0].index + 1 == len(equal):
        return equal[len(equal) // 2]
    return ordered[0]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, whatever their slices."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
