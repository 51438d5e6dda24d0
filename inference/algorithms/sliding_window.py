"""Prediction of a whole volume, at once or window by window."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from inference.algorithms.engine import Predictor, Tensor
from inference.algorithms.segmentation_manifest import Extent3D, Inference

_SIGMA = 0.125  # of the Gaussian weight, as a fraction of the window
_LEAST_WEIGHT = 1e-3  # so that corners seen by one window only keep their value


def predict_volume(predictor: Predictor, volume: Tensor, inference: Inference) -> Tensor:
    """Predict (channel, three axes) for a volume of three axes, as the manifest says.

    Raises:
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the output is no result.
    """
    if inference.window is None:
        whole: Tensor = predictor.predict(volume[np.newaxis, np.newaxis])[0]
        return whole
    return sliding_window(predictor, volume, inference.window, inference.overlap, inference.batch)


def sliding_window(predictor: Predictor, volume: Tensor, window: Extent3D, overlap: float, batch: int) -> Tensor:
    """Predict window by window and blend with a Gaussian weight, so that no seam shows.

    A volume smaller than the window is extended by its edge values; the extension is cut off again.
    """
    missing = [max(0, extent - size) for extent, size in zip(window, volume.shape, strict=True)]
    padded = np.pad(volume, [(gap // 2, gap - gap // 2) for gap in missing], mode="edge") if any(missing) else volume
    weight = gaussian_weight(window)
    total = np.zeros(padded.shape, np.float32)
    blended: Tensor | None = None
    everywhere = list(_places(padded.shape, window, overlap))
    for first in range(0, len(everywhere), batch):
        places = everywhere[first : first + batch]
        output = predictor.predict(np.stack([padded[place] for place in places])[:, np.newaxis])
        if blended is None:
            blended = np.zeros((output.shape[1], *padded.shape), np.float32)
        for place, part in zip(places, output, strict=True):
            blended[(slice(None), *place)] += part * weight
            total[place] += weight
    assert blended is not None  # noqa: S101 - a volume has at least one window
    blended /= total
    inner = tuple(slice(gap // 2, gap // 2 + size) for gap, size in zip(missing, volume.shape, strict=True))
    result: Tensor = blended[(slice(None), *inner)]
    return result


def gaussian_weight(window: Extent3D) -> Tensor:
    """How much each voxel of a window counts: most in the middle, least where context is missing."""
    axes = []
    for extent in window:
        distance = np.arange(extent) - (extent - 1) / 2
        axes.append(np.exp(-0.5 * (distance / (extent * _SIGMA)) ** 2))
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    bounded: Tensor = np.maximum(weight / weight.max(), _LEAST_WEIGHT).astype(np.float32)
    return bounded


def _places(shape: tuple[int, ...], window: Extent3D, overlap: float) -> Iterator[tuple[slice, ...]]:
    """Windows that cover the volume; the last one on each axis ends exactly at its edge."""
    starts = []
    for size, extent in zip(shape, window, strict=True):
        step = max(1, round(extent * (1 - overlap)))
        starts.append([*range(0, size - extent, step), size - extent])
    for corner in product(*starts):
        yield tuple(slice(start, start + extent) for start, extent in zip(corner, window, strict=True))
