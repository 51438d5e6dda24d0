"""Boxes of a golden pair beside those that a network gives on this machine: is each thing found in both, as surely?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inference.algorithms.box_overlap import overlaps
from inference.algorithms.checked_boxes import ImageBoxes, reached

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


def _towards(one: ImageBoxes, other: ImageBoxes, thresholds: Mapping[int, float]) -> Likeness:
    score, least = 0.0, 1.0
    for place in np.flatnonzero(reached(one, thresholds)):
        alike = other.labels == one.labels[place]
        shared = overlaps(one.boxes[place], other.boxes[alike])
        best = float(shared.max(initial=0))
        least = min(least, best)
        if best > 0:
            apart = np.abs(other.scores[alike][shared == best] - one.scores[place])
            score = max(score, float(apart.min()))
    return Likeness(score, least)
