"""The boxes that a network gave of one image or volume, if something may be concluded from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.checked_output import is_finite
from inference.errors import InvalidOutput

_ROUNDING = 1e-5  # what float32 arithmetic may leave beyond 0 or 1
_MOST = 100_000  # boxes of one image; a network that gives more was exported without its own selection


@dataclass(frozen=True, slots=True, eq=False)
class ImageBoxes:
    """Boxes as (n, 4): left, top, right, bottom in pixels of the network's input; scores (n,); class numbers (n,).

    Of a volume they are (n, 6): the low edges along the three axes of the input, then the high ones, in its voxels.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


def checked_boxes(boxes: NDArray[Any], scores: NDArray[Any], labels: NDArray[Any], axes: int = 2) -> ImageBoxes:
    """Return the outputs if something may be concluded from them; whether boxes lie on the image is not asked.

    ``axes`` are those of a box: 2 on an image, 3 in a volume.

    Raises:
        InvalidOutput: they do not belong together, hold NaN or infinity, a box ends before it begins, a score is not
            in 0 to 1, or a class is no whole number.
    """
    count = len(boxes) if boxes.ndim else -1
    if boxes.shape != (count, 2 * axes) or scores.shape != (count,) or labels.shape != (count,) or count > _MOST:
        raise InvalidOutput("The algorithm's boxes, scores and labels do not belong together; nothing was concluded.")
    if not (is_finite(boxes) and is_finite(scores) and is_finite(labels)):
        raise InvalidOutput
    corners, sure = boxes.astype(np.float64), scores.astype(np.float64)
    if (corners[:, :axes] > corners[:, axes:]).any():
        raise InvalidOutput("One of the algorithm's boxes ends before it begins; export it with boxes as corners.")
    if count and (sure.min() < -_ROUNDING or sure.max() > 1 + _ROUNDING):
        raise InvalidOutput(
            "One of the algorithm's scores is not in 0 to 1; does the network end in logits? Export it with scores as "
            "probabilities."
        )
    numbers = labels.astype(np.int64)
    if (numbers != labels).any():
        raise InvalidOutput("One of the algorithm's boxes has a class that is no whole number; export it anew.")
    return ImageBoxes(corners, np.clip(sure, 0, 1), numbers)


def reached(boxes: ImageBoxes, thresholds: Mapping[int, float]) -> NDArray[np.bool_]:
    """Which boxes reach the threshold of their class, as the network computes; not those of no class or no area."""
    least = np.array([thresholds.get(int(label), np.inf) for label in boxes.labels], np.float32)
    axes = boxes.boxes.shape[1] // 2
    extended = (boxes.boxes[:, :axes] < boxes.boxes[:, axes:]).all(axis=1)
    return np.asarray(extended & (boxes.scores.astype(np.float32) >= least))
