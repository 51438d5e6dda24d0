"""Scaling of intensities to what a network was trained on."""

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.manifest_parts import Intensity
from inference.errors import UnusableInput


def scale_intensity(values: NDArray[np.float32], intensity: Intensity) -> NDArray[np.float32]:
    """Scale all values of a volume, or of a single image, as the manifest says.

    ``max`` divides by the largest value; ``minmax`` maps the range to 0 to 1, or with ``upper`` its lower part, and
    clips; ``percentile`` maps the range between two percentiles to 0 to 1 and clips; ``zscore`` gives mean 0 and
    standard deviation 1; ``window`` clips to centre and width (PS3.3 section C.11.2.1.3, linear exact) and maps to
    0 to 1. ``range`` says what 0 and 1 become instead, ``mean_and_deviation`` what the values have at the end.

    Raises:
        UnusableInput: ``empty-image`` when all values are the same, or none is above zero for ``max``.
    """
    scaled = _scaled(values, intensity)
    if intensity.range is not None:
        low, high = (np.float32(one) for one in intensity.range)
        return scaled * (high - low) + low
    if intensity.mean_and_deviation is not None:
        mean, deviation = (np.float32(one) for one in intensity.mean_and_deviation)
        shift, scale = _by_deviation(scaled)
        if not scale > 0:
            raise _empty()
        return (scaled - np.float32(shift)) * (deviation / np.float32(scale)) + mean
    return scaled


def _scaled(values: NDArray[np.float32], intensity: Intensity) -> NDArray[np.float32]:
    if intensity.method == "none":
        return values
    if intensity.method == "window":
        width, center = intensity.width or 1.0, intensity.center or 0.0
        scaled: NDArray[np.float32] = np.clip((values - np.float32(center - width / 2)) / np.float32(width), 0, 1)
        return scaled
    if intensity.percentiles is not None:
        low, high = (float(one) for one in np.percentile(values, intensity.percentiles))
        if not high > low:  # such as a few bright pixels on nothing
            low, high = float(values.min()), float(values.max())
        if not high > low:
            raise _empty()
        between: NDArray[np.float32] = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
        return between
    shift, scale = {"max": _by_max, "minmax": _by_range, "zscore": _by_deviation}[intensity.method](values)
    if not scale > 0:
        raise _empty()
    if intensity.upper is not None:
        bounded: NDArray[np.float32] = np.minimum((values - np.float32(shift)) / np.float32(scale * intensity.upper), 1)
        return bounded
    return (values - np.float32(shift)) / np.float32(scale)


def _empty() -> UnusableInput:
    return UnusableInput("empty-image", "The series shows nothing: its pixel values do not differ.")


def _by_max(values: NDArray[np.float32]) -> tuple[float, float]:
    return 0.0, float(values.max())


def _by_range(values: NDArray[np.float32]) -> tuple[float, float]:
    return float(values.min()), float(values.max()) - float(values.min())


def _by_deviation(values: NDArray[np.float32]) -> tuple[float, float]:
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
