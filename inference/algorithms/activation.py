"""From what a network gives to probabilities, in the array that holds it."""

import numpy as np

from inference.algorithms.tensor import Tensor

_LARGEST = 80.0  # exp of more overflows float32; the probability is 0 or 1 long before


def activate(output: Tensor, activation: str) -> Tensor:
    """Make probabilities of ``output``, (channel, three axes), in its own memory, as the manifest's activation says.

    ``none`` leaves it as it is; ``sigmoid`` takes each value by itself; ``softmax`` takes a voxel's channels together.
    """
    made = {"sigmoid": _sigmoid, "softmax": _softmax}.get(activation)
    if made is not None:
        # Plane by plane, so that nothing of the volume's size is made beside it.
        for plane in np.moveaxis(output, 0, 1):
            made(plane)
    return output


def _sigmoid(values: Tensor) -> None:
    np.clip(values, -_LARGEST, _LARGEST, out=values)
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1
    np.reciprocal(values, out=values)


def _softmax(values: Tensor) -> None:
    """Over the first axis."""
    values -= values.max(0)
    np.exp(values, out=values)
    values /= values.sum(0)
