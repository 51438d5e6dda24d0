"""Boxes of a golden pair beside those that a network gives on this machine: is each thing found in both, as surely?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.algorithms.box_overlap import overlaps
from inference.algorithms.checked_boxes import ImageBoxes, reached
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.folder import GOLDEN_NAME
from inference.algorithms.golden_parity import SCORE_TOLERANCES, Parity, other_outputs
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm

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


def require_something_found(
    manifest: DetectionManifest | VolumeDetectionManifest, expected: Sequence[ImageBoxes]
) -> None:
    """Refuse a pair none of whose boxes reaches the threshold of its class. Raises InvalidAlgorithm."""
    if not any(reached(one, _thresholds(manifest)).any() for one in expected):
        raise InvalidAlgorithm(
            f"{GOLDEN_NAME} of {manifest.title} has no box that reaches the threshold of its class, so it compares "
            "nothing; export it with images on which something is found."
        )


def alike_boxes(
    manifest: DetectionManifest | VolumeDetectionManifest, found: Sequence[ImageBoxes], expected: Sequence[ImageBoxes]
) -> Parity:
    """How near the boxes found come to those of the pair, image by image.

    Raises:
        InvalidAlgorithm: not near enough.
    """
    alike = [likeness(one, other, _thresholds(manifest)) for one, other in zip(found, expected, strict=True)]
    parity = Parity(max(one.score for one in alike), overlap=min(one.overlap for one in alike))
    precision = manifest.inference.precision
    if not (parity.largest <= SCORE_TOLERANCES[precision] and (parity.overlap or 0) >= BOX_TOLERANCES[precision]):
        raise other_outputs(manifest.title, parity)
    return parity


def _thresholds(manifest: DetectionManifest | VolumeDetectionManifest) -> dict[int, float]:
    return {one.index: one.threshold for one in manifest.outputs.classes}
