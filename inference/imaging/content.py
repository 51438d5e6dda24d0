"""How much of an image shows something: a series begins and ends in air, and a network makes something of noise too."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_DARK, _BRIGHT = 1, 99  # percentiles of one image: a few odd pixels move neither
_MOST = 0.9  # an image in ten may be brighter than the rest, as a localizer is, and not make air of them
_AIR = 0.1  # of the way from dark to bright; noise in air stays below


def air_level(images: Iterable[NDArray[np.float32]]) -> float:
    """The value up to which a pixel of the series counts as air; bright things are bright in ``images``."""
    dark, bright = np.transpose([np.percentile(image, (_DARK, _BRIGHT)) for image in images])
    low, high = float(np.median(dark)), float(np.quantile(bright, _MOST))
    return low + _AIR * (high - low)


def content(image: NDArray[np.float32], level: float) -> float:
    """The share of the image's pixels that are brighter than air."""
    return float(np.mean(image > level))


def blank_share(image: NDArray[np.float32]) -> float:
    """The share of the image's pixels that have exactly its lowest value."""
    return float(np.mean(image == image.min()))
