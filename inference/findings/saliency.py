"""What a map of a class says of one image: where the network looked, and where most."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.float32]

_SALIENT = 0.5  # of the highest value: the part of the image that counts as the salient region


class Region(NamedTuple):
    """A box on an image: the edges ``top`` to ``bottom`` and ``left`` to ``right``, in pixels from its top left corner.

    Around whole pixels these are the first rows and columns, and those behind the last.
    """

    top: float
    left: float
    bottom: float
    right: float


def relative(activation: Map) -> Map | None:
    """The map from 0, nothing or against the class, to 1, its highest value; ``None`` when nothing speaks for it."""
    highest = float(activation.max())
    if not highest > 0:
        return None
    scaled: Map = (np.maximum(activation, 0) / np.float32(highest)).astype(np.float32)
    return scaled


def salient_region(saliency: Map) -> Region:
    """The box around the connected part with the highest value that reaches half of it."""
    parts, _ = ndimage.label(saliency >= _SALIENT)
    part = parts == parts[np.unravel_index(int(np.argmax(saliency)), saliency.shape)]
    rows, columns = np.nonzero(part.any(axis=1))[0], np.nonzero(part.any(axis=0))[0]
    return Region(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
