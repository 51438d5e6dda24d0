"""One image to the network's input and the network's map back: the only 2-D preprocessing, for serving and training."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.errors import UnusableInput
from inference.imaging.intensity import scale_intensity

Plane = NDArray[np.float32]


class Box(NamedTuple):
    """Where the image lies in the network's input, in rows and columns of it."""

    top: int
    left: int
    rows: int
    columns: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """The part of the input that is image and no border."""
        return slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)


def prepare_plane(values: Plane, image: ImagePreprocessing) -> Plane:
    """The network's input, 0 to 1, for one image with bright things bright (MONOCHROME1 already inverted).

    The image is resized, axis by axis averaging where pixels become larger and interpolating where they become
    smaller; then its intensities are scaled by what the resized image holds; then borders of 0 fill up the size.

    Raises:
        UnusableInput: ``empty-image``: the pixels of the image do not differ.
    """
    if values.min() == values.max():
        raise UnusableInput("empty-image", "The image shows nothing: its pixel values do not differ.")
    box = image_box((values.shape[0], values.shape[1]), image)
    scaled = scale_intensity(_resized(values, box.rows, box.columns), image.intensity)
    plane = np.zeros(image.size, np.float32)
    plane[box.inside] = np.clip(scaled, 0, 1)
    return plane


def network_input(planes: NDArray[np.float32], image: ImagePreprocessing) -> NDArray[np.float32]:
    """Prepared images, (image, row, column), as the network takes them: (image, channel, row, column)."""
    if image.channels is None:
        return planes[:, np.newaxis]
    mean, deviation = (
        np.asarray(numbers, np.float32)[:, np.newaxis, np.newaxis]
        for numbers in (image.channels.mean, image.channels.deviation)
    )
    channelled: NDArray[np.float32] = (planes[:, np.newaxis] - mean) / deviation
    return channelled


def image_box(shape: tuple[int, int], image: ImagePreprocessing) -> Box:
    """Where an image of this many rows and columns comes to lie: in the middle, or everywhere with ``stretch``."""
    rows, columns = image.size
    if image.fit == "stretch":
        return Box(0, 0, rows, columns)
    factor = min(rows / shape[0], columns / shape[1])
    inner = max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
    return Box((rows - inner[0]) // 2, (columns - inner[1]) // 2, *inner)


def map_to_image(activation: Plane, shape: tuple[int, int], image: ImagePreprocessing) -> Plane:
    """A map that covers the network's input, brought to the rows and columns of the image it was made from."""
    box = image_box(shape, image)
    whole = _resized(activation, *image.size)
    return _resized(np.ascontiguousarray(whole[box.inside]), *shape)


def _resized(values: Plane, rows: int, columns: int) -> Plane:
    resized = np.ascontiguousarray(values, np.float32)
    for size in ((resized.shape[1], rows), (columns, rows)):  # OpenCV's order: width, height
        shrinks = size[0] < resized.shape[1] or size[1] < resized.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(resized, size, interpolation=method), np.float32)
    return resized
