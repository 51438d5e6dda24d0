"""What a network gave, if something may be concluded from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.tensor import Tensor
from inference.errors import InvalidOutput, UnusableInput

_ROUNDING = 1e-5  # what float32 arithmetic may leave beyond 0 or 1
_HALF_ROUNDING = 1e-2  # of networks in 16 or 8 bits; logits go beyond this by far


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Probabilities as (image, class) and, where the network gives them, maps as (image, class, h, w)."""

    probabilities: Tensor
    maps: Tensor | None


def checked_output(
    batch: Tensor, output: NDArray[Any], margin: tuple[int, ...], *, probabilities: bool = False
) -> Tensor:
    """Return the output as float32 if something may be concluded from it.

    ``probabilities`` says that no activation follows, so that the values have to be in 0 to 1 as they are. It is asked
    of each output before windows are blended, whose weighted mean then stays within 0 and 1 but for rounding.

    Raises:
        InvalidOutput: it holds NaN or infinity, does not cover the input within its margin voxel by voxel, or should
            hold probabilities and does not.
    """
    covered = tuple(size - 2 * gap for size, gap in zip(batch.shape[2:], margin, strict=True))
    if output.ndim != batch.ndim or output.shape[0] != batch.shape[0] or output.shape[2:] != covered or not output.size:
        raise InvalidOutput("The algorithm's output does not cover its input; nothing was concluded from it.")
    if not is_finite(output):
        raise InvalidOutput
    values = output.astype(np.float32, copy=False)
    return _in_0_to_1(values) if probabilities else values


def _in_0_to_1(values: Tensor) -> Tensor:
    """The values with what rounding left beyond cut off. Raises InvalidOutput."""
    if values.size == 0:
        return values
    low, high = float(values.min()), float(values.max())
    if low < -_HALF_ROUNDING or high > 1 + _HALF_ROUNDING:
        raise InvalidOutput(
            "The algorithm's output is no probability, because it is not in 0 to 1; does the network end in logits? "
            "Set inference.activation in algorithm.yaml."
        )
    return values if low >= 0 and high <= 1 else np.clip(values, 0, 1)


def checked_scores(batch: Tensor, probabilities: NDArray[Any], maps: NDArray[Any] | None) -> ImageScores:
    """Return the outputs as float32 if something may be concluded from them.

    Raises:
        InvalidOutput: they hold NaN or infinity, are not one line per image, maps are larger than the image, or the
            probabilities are not in 0 to 1.
    """
    fits = probabilities.ndim == 2 and len(probabilities) == len(batch)
    if maps is not None:
        fits = fits and maps.ndim == 4 and maps.shape[:2] == probabilities.shape and min(maps.shape[2:]) > 0
        # What is larger than the image tells no more of it, and may be of any size.
        fits = fits and all(size <= whole for size, whole in zip(maps.shape[2:], batch.shape[2:], strict=True))
    if not fits or probabilities.size == 0:
        raise InvalidOutput("The algorithm's outputs do not fit its input image by image; nothing was concluded.")
    if not is_finite(probabilities) or (maps is not None and not is_finite(maps)):
        raise InvalidOutput
    if probabilities.min() < -_ROUNDING or probabilities.max() > 1 + _ROUNDING:
        raise InvalidOutput(
            "The algorithm's output is no probability, because it is not in 0 to 1; does the network end in logits? "
            "Export it with its activation."
        )
    return ImageScores(
        np.clip(probabilities, 0, 1).astype(np.float32),
        None if maps is None else maps.astype(np.float32, copy=False),
    )


def is_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite; the extremes tell, without an array of answers as large as the values."""
    return bool(values.size == 0 or (np.isfinite(values.min()) and np.isfinite(values.max())))


def checked_input(batch: Tensor) -> Tensor:
    """Return what a network is to be given, if all of it is numbers: of NaN a network can make a finding or none.

    Raises:
        UnusableInput: ``not-finite``.
    """
    if not is_finite(batch):
        raise UnusableInput("not-finite", "What the images were made into for the algorithm is not all numbers.")
    return batch
