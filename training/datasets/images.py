"""Image files as grey values, and prepared exactly as the worker prepares a slice."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.errors import UnusableInput
from inference.imaging.plane import prepare_plane
from training.datasets.manifest import Dataset
from training.errors import InvalidDataset

Plane = NDArray[np.float32]


def decoded(content: bytes, name: str) -> Plane:
    """The grey values of a PNG or JPEG; colours become their luminance, as in a viewer.

    Raises:
        InvalidDataset: it is no such image.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            return np.asarray(image.convert("L"), np.float32)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise InvalidDataset(f"{name} is not a readable PNG or JPEG; remove it.") from None


def thumbnail(plane: Plane, size: int) -> Plane:
    """The plane in a few pixels per side, each the mean of what it covers, whatever its proportions."""
    image = Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32)


def prepared_images(
    dataset: Dataset, rows: pd.DataFrame, image: ImagePreprocessing, progress: Callable[[int], None] | None = None
) -> Plane:
    """(image, row, column) of the rows in order, each checked against its digest and prepared as for serving.

    Raises:
        InvalidDataset: a file is missing, is not the one that was listed, or shows nothing.
    """
    planes = []
    for done, (name, sha256) in enumerate(zip(rows["file"], rows["sha256"], strict=True), start=1):
        try:
            content = (dataset.folder / name).read_bytes()
        except OSError as error:
            raise InvalidDataset(f"{name} cannot be read ({error.strerror}); make the data set again.") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InvalidDataset(f"{name} is not the file that was listed; make the data set again.")
        try:
            planes.append(prepare_plane(decoded(content, name), image))
        except UnusableInput:
            raise InvalidDataset(f"{name} shows nothing: its pixel values do not differ; remove it.") from None
        if progress is not None:
            progress(done)
    return np.stack(planes)


def truth(dataset: Dataset, rows: pd.DataFrame) -> NDArray[np.float32]:
    """1 for each image with the positive label, else 0."""
    return np.asarray(rows["label"] == dataset.description.positive, np.float32)
