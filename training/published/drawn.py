"""Drawings with the proportions of patients and of no patient, on which a published network finds what it looks for.

They are what a conversion is compared on and what is kept in the golden pair. Values are rounded, so that the file is
small; the grain is there because a network that divides by a deviation needs one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Drawing = NDArray[np.float32]


def drawn_head(shape: Sequence[int]) -> Drawing:
    """An ellipsoid in another one, in intensities of MR, as (right, anterior, superior)."""
    places = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    radius: NDArray[np.float64] = np.sum([place**2 for place in places], axis=0)
    bright = 500 * (radius < 0.7) - 300 * ((radius < 0.7) & (radius > 0.55))
    head: Drawing = np.rint(bright + 20 * np.random.default_rng(0).random(shape)).astype(np.float32)
    return head


def drawn_chest(size: int) -> Drawing:
    """A radiograph with two dark lungs, from -0.5 for black to 0.5 for white, as (1, row, column)."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    beside = np.abs(columns)
    image = np.full((size, size), 0.2)
    image[((beside > 0.93) & (rows > -0.6)) | ((beside > 0.3) & (rows < -0.8))] = -0.5
    image[(((beside - 0.45) / 0.33) ** 2 + ((rows - 0.55) / 1.35) ** 2 < 1) & (rows < 0.5)] = -0.3
    image[(beside < 0.1) | (((columns - 0.2) / 0.3) ** 2 + ((rows - 0.3) / 0.28) ** 2 < 1)] = 0.4  # spine and heart
    return _steps(gaussian_filter(image, 5) + 0.02 * _grain(image.shape))[np.newaxis]


def drawn_torso(size: int) -> Drawing:
    """A torso of voxels of 3 mm in a window of 400 HU around 0, from -0.5 to 0.5, as (right, anterior, superior)."""
    mm = np.linspace(-1.5 * size, 1.5 * size, size)
    places = np.meshgrid(mm, mm, mm, indexing="ij")
    volume = np.full((size,) * 3, -0.5)
    for centre, radii, value in _TORSO:
        parts = [((place - at) / radius) ** 2 for place, at, radius in zip(places, centre, radii, strict=True)]
        volume[np.sum(parts, axis=0) < 1] = value
    return _steps(np.clip(volume + 0.03 * _grain(volume.shape), -0.5, 0.5))


_LONG = 1e6  # mm: as long as the drawing
# Ellipsoids one over the other: centre and radii in mm, and what is inside.
_TORSO = (
    ((0, 0, 0), (155, 105, _LONG), -0.25),  # skin and fat
    ((0, 0, 0), (147, 97, _LONG), 0.1),  # muscle
    ((0, 0, 0), (138, 88, _LONG), -0.2),  # fat
    ((-60, 0, 130), (60, 70, 80), -0.5),  # lungs
    ((60, 0, 130), (60, 70, 80), -0.5),
    ((0, -65, 0), (20, 18, _LONG), 0.45),  # spine
    ((60, 5, 10), (70, 75, 70), 0.13),  # liver
    ((-80, -30, 20), (30, 40, 45), 0.14),  # spleen
    ((55, -55, -60), (25, 25, 50), 0.2),  # kidneys
    ((-55, -55, -50), (25, 25, 50), 0.2),
)


def _grain(shape: Sequence[int]) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(shape)


def _steps(values: NDArray[np.float64]) -> Drawing:
    return (np.rint(values * 256) / 256).astype(np.float32)
