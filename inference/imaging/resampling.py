"""To the grid of a network and back to the source grid, voxel centre on voxel centre."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.algorithms.segmentation_manifest import Preprocessing
from inference.errors import UnusableInput
from inference.imaging.geometry import Geometry
from inference.imaging.series_reader import PIXEL_BUDGET
from inference.imaging.volume import Volume

_TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True)
class GridMap:
    """How a network's grid lies on the source grid.

    ``axes`` names the source axis that becomes each axis, ``flips`` whether it runs backwards, ``source_shape`` and
    ``target_shape`` are (slice, row, column) and the network's axes; ``factors`` are voxel sizes of the network's
    grid in voxels of the source, axis by axis of the network. ``origins`` says, in voxels of the source, how far
    behind the outer edge of the source the network's grid begins; ``bounded`` says that either grid may reach beyond
    the other, where nothing is known.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    source_shape: tuple[int, int, int]
    target_shape: tuple[int, int, int]
    factors: tuple[float, float, float]
    origins: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bounded: bool = False

    def forward(self, values: NDArray[np.float32], *, anti_aliasing: bool) -> NDArray[np.float32]:
        """Values on the source grid, taken to the network's grid."""
        turned = np.transpose(values, self.axes)[self._flip()]
        return resample(turned, self.factors, self.target_shape, self.origins, anti_aliasing=anti_aliasing)

    def fill_outside(self, values: NDArray[np.float32], fill: float) -> None:
        """Overwrite, in values on the network's grid, what lies outside the source; before, its edge is carried on."""
        shape = tuple(self.source_shape[axis] for axis in self.axes)
        _fill_outside(values, self.factors, self.origins, shape, fill)

    def back(self, values: NDArray[np.float32], *, anti_aliasing: bool) -> NDArray[np.float32]:
        """Values on the network's grid, taken to (slice, row, column) of the source grid."""
        turned_shape = tuple(self.source_shape[axis] for axis in self.axes)
        inverse = tuple(1 / factor for factor in self.factors)
        origins = tuple(-origin / factor for origin, factor in zip(self.origins, self.factors, strict=True))
        turned = resample(values, inverse, turned_shape, origins, anti_aliasing=anti_aliasing)
        if self.bounded:
            _fill_outside(turned, inverse, origins, self.target_shape, 0.0)
        return np.ascontiguousarray(np.transpose(turned[self._flip()], np.argsort(self.axes)))

    def boxes_back(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes (n, 6) in voxels of the network's grid, taken to (slice, row, column) of the source and cut off there.

        A box is its low edges along the three axes, then its high ones, counted from the outer corner of the first
        voxel; one of which nothing lies in the source has no extent along an axis.
        """
        factors, origins = np.asarray(self.factors), np.asarray(self.origins)
        low, high = boxes[:, :3] * factors + origins, boxes[:, 3:] * factors + origins
        turned = np.array([self.source_shape[axis] for axis in self.axes], np.float64)
        low, high = np.where(self.flips, turned - high, low), np.where(self.flips, turned - low, high)
        order = np.argsort(self.axes)
        corners = np.concatenate([low[:, order], high[:, order]], axis=1)
        cut: NDArray[np.float64] = np.clip(corners, 0, np.tile(self.source_shape, 2))
        return cut

    def _flip(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)


def grid_map(geometry: Geometry, preprocessing: Preprocessing) -> GridMap:
    """The map that the manifest asks for on this source grid.

    Raises:
        UnusableInput: ``too-many-pixels``: the network's voxels are so much smaller than the images' that there would
            be more of them than are held.
    """
    axes, flips = _reorientation(geometry, preprocessing.orientation)
    shape = tuple(geometry.shape[axis] for axis in axes)
    factors: tuple[float, ...]
    if preprocessing.target_size is not None:
        target = preprocessing.target_size
        factors = tuple(size / wanted for size, wanted in zip(shape, target, strict=True))
    elif preprocessing.target_spacing_mm is not None:
        spacing = [geometry.spacing_mm[axis] for axis in axes]
        factors = tuple(w / s for w, s in zip(preprocessing.target_spacing_mm, spacing, strict=True))
        # Rounded up, so that the last source voxel is never cut off.
        target = _three(
            [max(1, int(np.ceil(size / factor - 1e-6))) for size, factor in zip(shape, factors, strict=True)]
        )
    else:
        factors, target = (1.0, 1.0, 1.0), _three(list(shape))
    whole = GridMap(axes, flips, geometry.shape, target, (factors[0], factors[1], factors[2]))
    if preprocessing.field is None:
        _check_voxels(target)
        return whole
    field = preprocessing.field
    # By whole voxels of the network, so that the field has the same voxels as the whole volume would have.
    cut = [int((size - wanted) / 2) for size, wanted in zip(target, field, strict=True)]
    origins = [voxels * factor for voxels, factor in zip(cut, factors, strict=True)]
    return replace(whole, target_shape=field, origins=(origins[0], origins[1], origins[2]), bounded=True)


def _check_voxels(shape: tuple[int, int, int]) -> None:
    if prod(shape) * np.dtype(np.float32).itemsize > PIXEL_BUDGET:
        raise UnusableInput(
            "too-many-pixels",
            f"The voxels that the algorithm wants are so small that the series would have {prod(shape)} of them, more "
            "than our limit; its images are too coarse for it.",
        )


def to_network_grid(volume: Volume, preprocessing: Preprocessing) -> tuple[NDArray[np.float32], GridMap]:
    """Reorient and resample a volume as the manifest says; intensities are left as they are."""
    mapping = grid_map(volume.geometry, preprocessing)
    return mapping.forward(volume.values, anti_aliasing=preprocessing.anti_aliasing), mapping


def resample(
    values: NDArray[np.float32],
    factors: tuple[float, ...],
    shape: tuple[int, ...],
    origins: tuple[float, ...] = (0.0, 0.0, 0.0),
    *,
    anti_aliasing: bool,
) -> NDArray[np.float32]:
    """Linear interpolation to voxels ``factors`` times as large, whose grid begins ``origins`` behind the outer edge.

    The centre of voxel *i* lies at ``origin + (i + 1/2) * factor - 1/2`` of the input. With anti-aliasing, a Gaussian
    of standard deviation ``(factor - 1) / 2`` voxels comes first where voxels grow, as in scikit-image's ``resize``.
    """
    scale = np.asarray(factors)
    if anti_aliasing and (scale > 1).any():
        values = ndimage.gaussian_filter(values, np.maximum(0, (scale - 1) / 2), mode="nearest")
    if np.all(scale == 1) and not any(origins) and values.shape == shape:
        return np.ascontiguousarray(values)
    resampled: NDArray[np.float32] = ndimage.affine_transform(
        values,
        scale,
        offset=np.asarray(origins) + (scale - 1) / 2,
        output_shape=shape,
        output=np.float32,
        order=1,
        mode="nearest",
    )
    return resampled


def _fill_outside(
    values: NDArray[np.float32],
    factors: tuple[float, ...],
    origins: tuple[float, ...],
    covered: tuple[int, ...],
    fill: float,
) -> None:
    """Overwrite the voxels whose centres lie outside the grid that they were made from, of the extent ``covered``."""
    for axis, (factor, origin, extent) in enumerate(zip(factors, origins, covered, strict=True)):
        places = origin + (np.arange(values.shape[axis]) + 0.5) * factor
        np.moveaxis(values, axis, 0)[(places < 0) | (places > extent)] = fill


def _reorientation(geometry: Geometry, orientation: str | None) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which source axis lies nearest to each letter, and whether it runs the other way."""
    if orientation is None:
        return (0, 1, 2), (False, False, False)
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing_mm)
    # Each patient axis takes the source axis that follows it best, the clearest pair first.
    closeness = np.abs(directions)
    source_of: dict[int, int] = {}
    for _ in range(3):
        patient_axis, source_axis = np.unravel_index(int(np.argmax(closeness)), closeness.shape)
        source_of[int(patient_axis)] = int(source_axis)
        closeness[patient_axis, :] = -1
        closeness[:, source_axis] = -1
    wanted = [_TOWARDS[letter] for letter in orientation]
    axes = [source_of[patient_axis] for patient_axis, _ in wanted]
    flips = [bool(directions[patient_axis, source_of[patient_axis]] * sign < 0) for patient_axis, sign in wanted]
    return _three(axes), (flips[0], flips[1], flips[2])


def _three(numbers: list[int]) -> tuple[int, int, int]:
    first, second, third = numbers
    return first, second, third
