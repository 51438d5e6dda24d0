"""A small made-up data set that a network can learn: discs with a bright spot, and discs without."""

from pathlib import Path

import numpy as np
from PIL import Image

from training.datasets.labelled_folder import About, make_dataset
from training.datasets.manifest import Dataset

ABOUT = About("spots", "Discs with and without a bright spot", "made by a test", "CC0-1.0", "spot", "plain")


def write_labelled_images(folder: Path, count: int = 30, size: int = 60, seed: int = 0) -> None:
    """Write ``count`` PNG files of each label, with an upside-down copy of every third."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    for label in (ABOUT.positive, ABOUT.negative):
        home = folder / "images" / label
        home.mkdir(parents=True)
        for index in range(count):
            centre = size / 2 + random.uniform(-4, 4, 2)
            radii = random.uniform(0.25, 0.42, 2) * size
            inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
            coarse = Image.fromarray(random.uniform(40, 130, (6, 6)).astype(np.float32))
            values = np.where(inside, np.asarray(coarse.resize((size, size))), 0)
            if label == ABOUT.positive:
                spot = centre + random.uniform(-0.4, 0.4, 2) * radii
                values = np.where(np.hypot(rows - spot[0], columns - spot[1]) < size / 12, 250, values)
            picture = Image.fromarray(values.astype(np.uint8))
            picture.save(home / f"{label}-{index:03}.png")
            if index % 3 == 0:
                picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(home / f"{label}-{index:03}-over.png")


def labelled_dataset(folder: Path, count: int = 30) -> Dataset:
    """The same as a data set with groups and splits."""
    write_labelled_images(folder, count)
    return make_dataset(folder, ABOUT, seed=1)
