"""Prediction of a whole volume, at once or window by window."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product

import numpy as np

from inference.algorithms.activation import activate
from inference.algorithms.engine import Predictor
from inference.algorithms.segmentation_manifest import Extent3D, Inference
from inference.algorithms.tensor import Tensor
from inference.errors import InvalidOutput

_SIGMA = 0.125  # of the Gaussian weight, as a fraction of the window
_LEAST_WEIGHT = 1e-3  # so that corners seen by one window only keep their value
_NO_MARGIN = (0, 0, 0)

Place = tuple[slice, ...]


def predict_volume(predictor: Predictor, volume: Tensor, inference: Inference) -> Tensor:
    """Predict (channel, three axes) for a volume of three axes, as the manifest says: probabilities.

    Raises:
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the output is no result.
    """
    activation = inference.activation if inference.activation_of == "blended" else "none"
    if inference.window is None:
        return _whole(predictor, volume, inference.output_margin, activation)
    blended = sliding_window(
        predictor,
        volume,
        inference.window,
        inference.overlap,
        inference.batch,
        inference.output_margin,
        inference.background,
    )
    return activate(blended, activation)


def _whole(predictor: Predictor, volume: Tensor, margin: Extent3D, activation: str) -> Tensor:
    """One call; where the output lacks a margin, the margin is 0, which is background."""
    output = predictor.predict(volume[np.newaxis, np.newaxis])[0]
    inside = _inside(volume.shape, margin)
    if output[0].shape != tuple(part.stop - part.start for part in inside):
        raise InvalidOutput("The algorithm's output does not cover its input; nothing was concluded from it.")
    if margin == _NO_MARGIN:
        return activate(_own(output), activation)
    whole = np.zeros((len(output), *volume.shape), np.float32)
    whole[(slice(None), *inside)] = activate(_own(output), activation)
    return whole


def _own(output: Tensor) -> Tensor:
    """The output in memory that may be written to."""
    return output if output.flags.writeable else output.copy()


def _inside(shape: tuple[int, ...], margin: Extent3D) -> Place:
    return tuple(slice(gap, size - gap) for size, gap in zip(shape, margin, strict=True))


def sliding_window(
    predictor: Predictor,
    volume: Tensor,
    window: Extent3D,
    overlap: float,
    batch: int,
    margin: Extent3D = _NO_MARGIN,
    background: float | None = None,
) -> Tensor:
    """Predict window by window and blend with a Gaussian weight, so that no seam shows.

    A volume smaller than the window is extended by its edge values; the extension is cut off again. ``margin`` is
    what the output of a window lacks at either side; the volume is extended by it likewise. Windows without a value
    above ``background`` are left out and count as 0.

    The blended array of (channel, three axes) is the largest thing in memory; beside it are the sum of weights, which
    is as large as one channel, the extended volume if there is one, and two batches: while one is predicted, the one
    before is laid into the blend.
    """
    inner = tuple(extent - 2 * gap for extent, gap in zip(window, margin, strict=True))
    missing = [max(0, extent - size) for extent, size in zip(inner, volume.shape, strict=True)]
    before = [gap // 2 + edge for gap, edge in zip(missing, margin, strict=True)]
    after = [gap - gap // 2 + edge for gap, edge in zip(missing, margin, strict=True)]
    around = list(zip(before, after, strict=True))
    extended = np.pad(volume, around, mode="edge") if any(before + after) else volume
    covered = tuple(size + gap for size, gap in zip(volume.shape, missing, strict=True))
    blended = _Blended(covered, gaussian_weight((inner[0], inner[1], inner[2])))
    places = list(window_places(covered, inner, overlap))
    shown = places
    if background is not None:
        seen = [place for place in places if extended[_with_margin(place, margin)].max() > background]
        shown = seen or places[:1]  # one at least, for only the network knows how many channels there are
    blended.weigh(places)
    _predict_in_turns(predictor, extended, margin, [shown[i : i + batch] for i in range(0, len(shown), batch)], blended)
    result = blended.mean()
    cut = tuple(slice(gap // 2, gap // 2 + size) for gap, size in zip(missing, volume.shape, strict=True))
    return result[(slice(None), *cut)]


def _predict_in_turns(
    predictor: Predictor, extended: Tensor, margin: Extent3D, batches: list[list[Place]], blended: "_Blended"
) -> None:
    """Gather the next batch and blend the last one while another thread waits for the network."""
    with ThreadPoolExecutor(1, thread_name_prefix="windows") as network:
        running: tuple[list[Place], Future[Tensor]] | None = None
        for places in batches:
            given = np.stack([extended[_with_margin(place, margin)] for place in places])[:, np.newaxis]
            following = places, network.submit(predictor.predict, given)
            if running is not None:
                blended.add(running[0], running[1].result())
            running = following
        if running is not None:
            blended.add(running[0], running[1].result())


class _Blended:
    """Windows laid over one another; only their weighted sum is kept, and the sum of weights."""

    def __init__(self, shape: tuple[int, ...], weight: Tensor) -> None:
        self._shape, self._weight = shape, weight
        self._weights = np.zeros(shape, np.float32)
        self._sum: Tensor | None = None

    def weigh(self, places: list[Place]) -> None:
        """Add up how much each voxel is going to count."""
        for place in places:
            self._weights[place] += self._weight

    def add(self, places: list[Place], output: Tensor) -> None:
        """Lay the outputs of a batch over what is there; the outputs are used up."""
        if output.shape[2:] != self._weight.shape:
            raise InvalidOutput("The algorithm's output does not cover its window; nothing was concluded from it.")
        if self._sum is None:
            self._sum = np.zeros((output.shape[1], *self._shape), np.float32)
        if output.shape[1] != len(self._sum):
            raise InvalidOutput("The algorithm's outputs differ in their channels; nothing was concluded from them.")
        weighted = np.multiply(output, self._weight, out=output if output.flags.writeable else None)
        for place, part in zip(places, weighted, strict=True):
            self._sum[(slice(None), *place)] += part

    def mean(self) -> Tensor:
        """The weighted mean of all windows, in the memory of their sum."""
        assert self._sum is not None  # noqa: S101 - a volume has at least one window
        return np.divide(self._sum, self._weights, out=self._sum)


def gaussian_weight(window: Extent3D) -> Tensor:
    """How much each voxel of a window counts: most in the middle, least where context is missing."""
    axes = []
    for extent in window:
        distance = np.arange(extent) - (extent - 1) / 2
        axes.append(np.exp(-0.5 * (distance / (extent * _SIGMA)) ** 2))
    weight = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    bounded: Tensor = np.maximum(weight, _LEAST_WEIGHT).astype(np.float32)
    return bounded


def _with_margin(place: Place, margin: Extent3D) -> Place:
    """The place of a window's output, as the place of its input in the extended volume."""
    return tuple(slice(part.start, part.stop + 2 * gap) for part, gap in zip(place, margin, strict=True))


def window_places(shape: tuple[int, ...], window: tuple[int, ...], overlap: float) -> Iterator[Place]:
    """Windows that cover the volume; the last one on each axis ends exactly at its edge."""
    starts = []
    for size, extent in zip(shape, window, strict=True):
        step = max(1, round(extent * (1 - overlap)))
        starts.append([*range(0, size - extent, step), size - extent])
    for corner in product(*starts):
        yield tuple(slice(start, start + extent) for start, extent in zip(corner, window, strict=True))
