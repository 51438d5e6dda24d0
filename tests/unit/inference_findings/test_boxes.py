"""Boxes of single images into findings of a series: checked, cut off, the best of those that overlap, over slices."""

from itertools import product

import cv2
import numpy as np
import pytest

from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes
from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.errors import InvalidOutput
from inference.findings.boxes import Box, merged, on_image, overlap, suppressed

ONE = np.array([[1, 2, 5, 8]], np.float32)


def _box(index: int, left: float, top: float, score: float = 0.9, size: float = 10) -> Box:
    return Box(index, top, left, top + size, left + size, score)


def test_sound_boxes_are_taken_as_they_are() -> None:
    """Also none at all, which is what a network says of an image that shows nothing."""
    found = checked_boxes(ONE, np.array([0.5], np.float32), np.array([3.0], np.float32))
    assert (found.boxes.tolist(), found.scores.tolist(), found.labels.tolist()) == ([[1, 2, 5, 8]], [0.5], [3])

    nothing = checked_boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert len(nothing.boxes) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "words"),
    [
        ([[1, 2, np.nan, 8]], [0.5], [0], "NaN"),
        ([[1, 2, np.inf, 8]], [0.5], [0], "NaN"),
        ([[1, 2, 5, 8]], [np.nan], [0], "NaN"),
        ([[1, 2, 5, 8]], [0.5], [np.nan], "NaN"),
        ([[5, 2, 1, 8]], [0.5], [0], "ends before it begins"),
        ([[1, 8, 5, 2]], [0.5], [0], "ends before it begins"),
        ([[1, 2, 5, 8]], [1.5], [0], "not in 0 to 1"),
        ([[1, 2, 5, 8]], [-0.5], [0], "not in 0 to 1"),
        ([[1, 2, 5, 8]], [0.5], [0.5], "no whole number"),
        ([[1, 2, 5, 8]], [0.5, 0.6], [0, 0], "do not belong together"),
        ([[1, 2, 5]], [0.5], [0], "do not belong together"),
        ([[1, 2, 5, 8]], [[0.5]], [0], "do not belong together"),
    ],
)
def test_what_is_no_box_is_no_result(boxes: object, scores: object, labels: object, words: str) -> None:
    """Nothing is concluded from such an output, and a sentence says what is wrong with it."""
    with pytest.raises(InvalidOutput, match=words):
        checked_boxes(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels, np.float32))


def test_boxes_are_cut_off_at_the_edges_of_the_image() -> None:
    """A wide image lies in the middle of the network's input: the borders hold nothing, and scales are undone."""
    image = ImagePreprocessing.model_validate({"size": [32, 32]})
    found = ImageBoxes(
        np.array([[4, 10, 8, 20], [-5, -5, 40, 40], [0, 0, 32, 8], [0, 24, 32, 32], [6, 12, 6, 14]], np.float64),
        np.array([0.5, 0.6, 0.7, 0.8, 0.9]),
        np.array([1, 2, 3, 4, 5]),
    )

    boxes = on_image(found, 3, (32, 64), image)  # the network sees 16 of its 32 rows, half as large

    assert boxes == [(1, Box(3, 4, 8, 24, 16, 0.5)), (2, Box(3, 0, 0, 32, 64, 0.6))]


@pytest.mark.parametrize(("seed", "iou"), [*product(range(6), [0.103, 0.307, 0.503, 0.707])])
def test_the_best_of_overlapping_boxes_are_those_of_opencv(seed: int, iou: float) -> None:
    """OpenCV's own suppression keeps the same boxes of 200, in the same order."""
    random = np.random.default_rng(seed)
    corners, sizes = random.integers(0, 60, (200, 2)), random.integers(5, 30, (200, 2))
    scores = random.permutation(200) / 200 + 0.001
    boxes = [
        Box(0, float(y), float(x), float(y + h), float(x + w), float(score))
        for (x, y), (w, h), score in zip(corners, sizes, scores, strict=True)
    ]

    kept = cv2.dnn.NMSBoxes(np.hstack((corners, sizes)).tolist(), scores.tolist(), 0.0, iou)

    assert suppressed(boxes, iou) == [boxes[index] for index in np.ravel(kept)]


def test_equal_scores_are_settled_by_place() -> None:
    """Whatever the order in which a network gives its boxes, the same ones are kept."""
    boxes = [_box(0, left, top) for left, top in ((3, 0), (0, 3), (0, 0), (4, 4))]

    assert suppressed(boxes, 0.2) == suppressed(boxes[::-1], 0.2) == [_box(0, 0, 0)]


def test_overlap_is_intersection_over_union() -> None:
    """Boxes that only touch do not overlap; half of each is a third of both."""
    assert overlap(_box(0, 0, 0), _box(5, 5, 0)) == pytest.approx(1 / 3)
    assert overlap(_box(0, 0, 0), _box(0, 10, 0)) == 0
    assert overlap(_box(0, 0, 0), _box(0, 0, 0)) == 1


def test_boxes_on_neighbouring_slices_are_one_finding() -> None:
    """A chain goes on while each slice overlaps the one before; a slice without a box ends it."""
    moving = [_box(index, 2 * index, 0, 0.6 + index / 100) for index in range(5)]
    later, elsewhere = _box(6, 8, 0, 0.5), _box(2, 60, 60, 0.95)

    findings = merged([later, elsewhere, *moving[::-1]], 0.3)

    assert findings == [(elsewhere,), tuple(moving), (later,)]


def test_each_box_goes_on_with_the_one_that_it_overlaps_most() -> None:
    """Two things side by side stay two, and a box belongs to one of them."""
    first, second = _box(0, 0, 0, 0.9), _box(0, 8, 0, 0.8)
    onward = [_box(1, 7, 0, 0.9), _box(1, 1, 0, 0.7)]

    assert merged([first, second, *onward], 0.1) == [(first, onward[1]), (second, onward[0])]
