"""Images that show nothing but noise, as negatives: series begin and end in air, data sets of chosen slices do not."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.imaging.plane import prepare_plane
from training.learning.fitting import Images

_SIDE = (64, 257)  # rows and columns as acquired
_SMOOTHING = (0.0, 0.7, 1.5, 4.0)  # pixels; reconstructed noise is correlated
_RIPPLE = 0.5  # share of blanks with a slow change of brightness, as ghosts and coils leave it


def with_blanks(images: Images, share: float, image: ImagePreprocessing, seed: int) -> Images:
    """The images and, for each hundred groups, ``share`` times a hundred blanks, each a group of its own."""
    count = round(share * len(np.unique(images.groups)))
    if not count:
        return images
    random = np.random.default_rng(seed)
    blanks = np.stack([prepare_plane(_noise(random), image) for _ in range(count)])
    first = int(images.groups.max()) + 1
    return Images(
        np.concatenate([images.planes, blanks]),
        np.concatenate([images.truth, np.zeros(count, np.float32)]),
        np.concatenate([images.groups, np.arange(first, first + count)]),
    )


def _noise(random: np.random.Generator) -> NDArray[np.float32]:
    """The magnitude of complex noise (a Rayleigh distribution), as an MR image of air has it."""
    shape = random.integers(*_SIDE, size=2)
    values = random.rayleigh(10, shape)
    values = ndimage.gaussian_filter(values, random.choice(_SMOOTHING))
    if random.random() < _RIPPLE:
        row, column = np.mgrid[: shape[0], : shape[1]] / shape.max()
        wave = np.sin(random.uniform(1, 8) * row + random.uniform(1, 8) * column + random.uniform(0, 6))
        values = values * (1 + random.uniform(0.2, 0.8) * wave)
    return np.asarray(values, np.float32)
