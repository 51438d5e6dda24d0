"""How near a machine must come to the outputs of a golden pair, and what is said where it does not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.errors import InvalidAlgorithm
from inference.imaging.plane import prepare_plane

TOLERANCE = 1e-3  # of prepared images, in 0 to 1; other processors round differently

# By the manifest's precision: the largest difference of a probability that may be, and the least Dice of a segment.
# One voxel on a steep border may differ by more than the rounding, so volumes are judged by both.
SCORE_TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2, "int8": 5e-2}
VOXEL_TOLERANCES = {"float32": (0.02, 0.999), "float16": (0.1, 0.995), "bfloat16": (0.2, 0.99), "int8": (0.3, 0.98)}


@dataclass(frozen=True, slots=True)
class Parity:
    """How near this machine comes to the original.

    That is the largest difference; of segmentations also the smallest Dice, and of detections the smallest overlap of
    a box with its like.
    """

    largest: float
    dice: float | None = None
    overlap: float | None = None

    def __str__(self) -> str:
        dice = "" if self.dice is None else f", Dice {self.dice:.4f}"
        overlap = "" if self.overlap is None else f", smallest overlap of boxes {self.overlap:.4f}"
        return f"largest difference {self.largest:.1g}{dice}{overlap}"


def prepared_as_serving(
    title: str, image: ImagePreprocessing, images: NDArray[np.float32], expected: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """The images as this machine prepares them, and by how much at most they differ from the pair's.

    Raises:
        InvalidAlgorithm: they differ by more than rounding.
    """
    prepared = np.stack([prepare_plane(one, image) for one in images])
    preparing = largest_difference(prepared, expected)
    if not preparing <= TOLERANCE:
        raise InvalidAlgorithm(
            f"Preprocessing on this machine gives other images than when {title} was exported "
            f"(difference {preparing:.2g}); install the release it was exported with, or export it again."
        )
    return prepared, preparing


def other_outputs(title: str, parity: Parity) -> InvalidAlgorithm:
    """The network is not near enough."""
    return InvalidAlgorithm(
        f"The network of {title} gives other outputs on this machine than when it was exported ({parity}); "
        "do not use it here."
    )


def largest_difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of two arrays, element by element; infinite where they differ in shape."""
    return float(np.abs(one - other).max()) if one.shape == other.shape else float("inf")
