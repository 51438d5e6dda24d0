"""Detection in a whole volume, at once or window by window: what several windows saw is told once."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.box_overlap import Corners, overlaps, shares_inside
from inference.algorithms.checked_boxes import ImageBoxes, reached
from inference.algorithms.engine import Detector
from inference.algorithms.sliding_window import Place, window_places
from inference.algorithms.tensor import Tensor
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest

Places = NDArray[np.intp]  # of boxes among others

_AT_THE_BORDER = 1.0  # voxels: a box that comes as near to the border of its window is one of what the window cuts off
_PART = 0.5  # of a box that a window cut off lies in another one, where that is the whole of it
_MOST_PER_CLASS = 1000  # on either side of the threshold, the surest ones of all windows; so many overlap anyway


def detect_volume(detector: Detector, volume: Tensor, manifest: VolumeDetectionManifest) -> ImageBoxes:
    """The boxes of a volume of three axes, in its voxels, cut off at its edges.

    A volume smaller than the window is filled up with its lowest value, in which there is nothing to be found: edge
    values would make what lies at the edge longer than it is.

    Of those that reach the threshold of their class, one that overlaps a surer one by more than ``nms_iou`` is left
    out, and so is one that its window cut off where half of it lies in another box: the neighbouring window saw the
    whole. Whole boxes come before those cut off, whatever their scores.

    Of each class no more than the 1000 surest boxes that reach its threshold and the 1000 surest of the others are
    kept while windows go by, so that memory does not grow with their number; boxes of no class are dropped.

    Raises:
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the outputs are no boxes with scores and classes.
    """
    thresholds = {one.index: one.threshold for one in manifest.outputs.classes}
    boxes, cut = ImageBoxes(np.zeros((0, 6)), np.zeros(0), np.zeros(0, np.int64)), np.zeros(0, bool)
    for more, more_cut in _windows(detector, volume, manifest):
        boxes, cut = _joined(boxes, more), np.concatenate([cut, more_cut])
        surest = _surest_of_each_class(boxes, thresholds)
        boxes, cut = _only(boxes, surest), cut[surest]
    kept = _kept(boxes, cut, thresholds, manifest.outputs.nms_iou)
    return _only(boxes, np.asarray(kept, np.intp))


def _windows(
    detector: Detector, volume: Tensor, manifest: VolumeDetectionManifest
) -> Iterator[tuple[ImageBoxes, Corners]]:
    """The boxes of each window in voxels of the volume, and which of them the window cut off."""
    run = manifest.inference
    window = run.window or volume.shape
    missing = [max(0, extent - size) for extent, size in zip(window, volume.shape, strict=True)]
    extended = np.pad(volume, [(0, gap) for gap in missing], constant_values=volume.min()) if any(missing) else volume
    for place in window_places(extended.shape, window, run.overlap):
        seen = extended[place]
        if run.background is not None and not seen.max() > run.background:
            continue
        found = detector.detect(np.ascontiguousarray(seen)[np.newaxis, np.newaxis])
        cut = _cut_off(found.boxes, place, extended.shape)
        start = np.array([part.start for part in place], np.float64)
        inside = np.clip(found.boxes + np.tile(start, 2), 0, np.tile(volume.shape, 2))
        left = np.flatnonzero((inside[:, :3] < inside[:, 3:]).all(axis=1))
        yield _only(ImageBoxes(inside, found.scores, found.labels), left), cut[left]


def _cut_off(boxes: Corners, place: Place, shape: tuple[int, ...]) -> Corners:
    """Which boxes reach a border of their window behind which the volume goes on."""
    cut = np.zeros(len(boxes), bool)
    for axis, (part, size) in enumerate(zip(place, shape, strict=True)):
        if part.start > 0:
            cut |= boxes[:, axis] < _AT_THE_BORDER
        if part.stop < size:
            cut |= boxes[:, 3 + axis] > part.stop - part.start - _AT_THE_BORDER
    return cut


def _kept(boxes: ImageBoxes, cut: Corners, thresholds: Mapping[int, float], iou: float) -> list[int]:
    """The places of the boxes that stay, those above the threshold of their class first."""
    sure = reached(boxes, thresholds)
    kept: list[int] = []
    for label in thresholds:
        places = np.flatnonzero(sure & (boxes.labels == label))
        kept += _suppressed(boxes, places, cut, iou)
    return kept + np.flatnonzero(~sure).tolist()


def _surest_of_each_class(boxes: ImageBoxes, thresholds: Mapping[int, float]) -> Places:
    """The places of the boxes that are kept, in their order; the others are of no class, or too many are surer."""
    sure = reached(boxes, thresholds)
    kept = [
        _surest_first(boxes, np.flatnonzero((boxes.labels == label) & side))[:_MOST_PER_CLASS]
        for label in thresholds
        for side in (sure, ~sure)
    ]
    return np.sort(np.concatenate(kept))


def _surest_first(boxes: ImageBoxes, places: Places) -> Places:
    """Those that are equally sure in the order of their corners, so that the order of windows says nothing."""
    corners = boxes.boxes[places]
    return np.asarray(places[np.lexsort((*corners.T[::-1], -boxes.scores[places]))])


def _suppressed(boxes: ImageBoxes, places: Places, cut: Corners, iou: float) -> list[int]:
    corners = boxes.boxes
    kept: list[int] = []
    # Stable: the surest first among either.
    for one in sorted(_surest_first(boxes, places).tolist(), key=lambda each: bool(cut[each])):
        others = corners[kept]
        if (overlaps(corners[one], others) > iou).any():
            continue
        if cut[one] and (shares_inside(corners[one], others) >= _PART).any():
            continue
        kept.append(one)
    return kept


def _joined(boxes: ImageBoxes, more: ImageBoxes) -> ImageBoxes:
    return ImageBoxes(
        np.concatenate([boxes.boxes, more.boxes]),
        np.concatenate([boxes.scores, more.scores]),
        np.concatenate([boxes.labels, more.labels]),
    )


def _only(boxes: ImageBoxes, places: Places) -> ImageBoxes:
    return ImageBoxes(boxes.boxes[places], boxes.scores[places], boxes.labels[places])
