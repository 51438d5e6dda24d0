"""The images of the golden pair: made by a formula, because images of patients are not ours to hand on."""

import numpy as np

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.algorithms.golden_images import Golden
from inference.imaging.plane import prepare_plane
from training.learning.network import EvidenceNetwork
from training.learning.prediction import predict

_SIDE = 200
_WIDTHS = (200, 160, 120, 240)  # of four images, so that fitting to the network's size is tried as well


def golden_pair(network: EvidenceNetwork, image: ImagePreprocessing) -> Golden:
    """Four phantom slices, an ellipse with ripples and a bright disc that grows, and what the trained network says."""
    planes = [_phantom(_SIDE, width, number) for number, width in enumerate(_WIDTHS)]
    padded = np.zeros((len(planes), _SIDE, max(_WIDTHS)), np.float32)
    for number, plane in enumerate(planes):
        padded[number, :, : plane.shape[1]] = plane
    prepared = np.stack([prepare_plane(plane, image) for plane in padded])
    probability, evidence = predict(network, prepared)
    return Golden(padded, prepared, probability[:, np.newaxis].astype(np.float32), evidence[:, np.newaxis])


def _phantom(rows: int, columns: int, number: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    row, column = np.mgrid[:rows, :columns].astype(np.float64)
    y, x = (row - rows / 2) / (0.45 * rows), (column - columns / 2) / (0.4 * columns)
    values = np.where(x**2 + y**2 < 1, 400 + 80 * np.sin(9 * x) * np.cos(7 * y), 5)
    values = np.where((x**2 + y**2 > 0.85) & (x**2 + y**2 < 1), 700, values)
    values = np.where(np.hypot(x - 0.35, y + 0.2) < 0.08 * number, 900, values)
    return np.rint(values).astype(np.float32)
