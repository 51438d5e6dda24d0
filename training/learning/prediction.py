"""What a network says of prepared images."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.learning.network import EvidenceNetwork, Served

_BATCH = 64


def predict(network: EvidenceNetwork, planes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The probability of each of (image, row, column), and its map of evidence (image, h, w)."""
    served = Served(network).eval()
    probabilities, maps = [], []
    with torch.inference_mode():
        for first in range(0, len(planes), _BATCH):
            probability, evidence = served(torch.from_numpy(planes[first : first + _BATCH, np.newaxis]))
            probabilities.append(probability[:, 0].numpy().astype(np.float64))
            maps.append(evidence[:, 0].numpy())
    return np.concatenate(probabilities), np.concatenate(maps)
