"""Boxes of a golden pair beside those that a network gives on this machine: is each thing found in both, as surely?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.checked_boxes import ImageBoxes

# By the manifest's precision: the least overlap (intersection over union) of a box with its like. What counts is where
# something is said to be, and rounding moves the edges of a small box by more of it than those of a large one.
BOX_TOLERANCES = {"float32": 0.99, "float16": 0.95, "bfloat16": 0.9, "int8": 0.85}


@dataclass(frozen=True, slots=True)
class Likeness:
    """The largest difference of a score between boxes that are alike, and their smallest overlap."""

    score: float
    overlap: float


def likeness(one: ImageBoxes, other: ImageBoxes, thresholds: Mapping[int, float]) -> Likeness:
    """How near the boxes of one image come to each other that matter to a finding.

    A box matters where it reaches the threshold of its class (``thresholds`` by class number). Its like is the box of
    its class on the other side, sure or not, that overlaps it most; of those that overlap it equally the one with the
    nearest score. One without any overlaps by 0. The order of boxes says nothing.
    """
    parts = [_towards(one, other, thresholds), _towards(other, one, thresholds)]
    return Likeness(max(part.score for part in parts), min(part.overlap for part in parts))


def reached(boxes: ImageBoxes, thresholds: Mapping[int, float]) -> NDArray[np.bool_]:
    """Which boxes reach the threshold of their class, as the network computes; not those of no class or no area."""
    least = np.array([thresholds.get(int(label), np.inf) for label in boxes.labels], np.float32)
    extended = (boxes.boxes[:, :2] < boxes.boxes[:, 2:]).all(axis=1)
    return np.asarray(extended & (boxes.scores.astype(np.float32) >= least))


def _towards(one: ImageBoxes, other: ImageBoxes, thresholds: Mapping[int, float]) -> Likeness:
    score, least = 0.0, 1.0
    for place in np.flatnonzero(reached(one, thresholds)):
        alike = other.labels == one.labels[place]
        overlaps = _overlaps(one.boxes[place], other.boxes[alike])
        best = float(overlaps.max(initial=0))
        least = min(least, best)
        if best > 0:
            apart = np.abs(other.scores[alike][overlaps == best] - one.scores[place])
            score = max(score, float(apart.min()))
    return Likeness(score, least)


def _overlaps(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box with each of the others."""
    inside = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(inside, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(len(others)), where=union > 0))
