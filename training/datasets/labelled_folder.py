"""From images in folders named after their labels to a data set with groups and splits."""

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from training.datasets.grouping import CORRELATION, THUMBNAIL, joined, near_duplicate_groups
from training.datasets.images import decoded, thumbnail
from training.datasets.manifest import Dataset, Description, Grouping, write_dataset
from training.datasets.splitting import SHARES, split_by_group
from training.errors import InvalidDataset

IMAGES_FOLDER = "images"
PATIENTS_NAME = "patients.csv"
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FEWEST = 10  # images

Progress = Callable[[str, int, int], None]


def nothing(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class About:
    """What a person must say of the images, because no program can know it."""

    name: str
    title: str
    source: str
    licence: str
    positive: str
    negative: str


def make_dataset(folder: Path, about: About, seed: int, progress: Progress = nothing) -> Dataset:
    """Describe the images under ``images/<label>/`` of a folder: hash, group, split, write.

    ``patients.csv`` beside them (columns ``file`` and ``patient``), if there is one, joins the groups of a patient.

    Raises:
        InvalidDataset: the folder does not hold what it must.
    """
    files, labels = _labelled(folder, (about.negative, about.positive))
    digests, thumbnails = [], []
    for done, path in enumerate(files, start=1):
        content = path.read_bytes()
        digests.append(hashlib.sha256(content).hexdigest())
        thumbnails.append(thumbnail(decoded(content, path.name), THUMBNAIL))
        progress("Images read", done, len(files))
    names = [path.relative_to(folder).as_posix() for path in files]
    groups = joined(near_duplicate_groups(np.stack(thumbnails)), digests)
    patients = _patients(folder, names)
    if patients is not None:
        groups = joined(groups, patients)
    numbers = [int(group) for group in groups]
    table = pd.DataFrame(
        {
            "file": names,
            "label": labels,
            "group": numbers,
            "split": split_by_group(numbers, labels, seed),
            "sha256": digests,
        }
    )
    description = Description(
        name=about.name,
        title=about.title,
        source=about.source,
        licence=about.licence,
        positive=about.positive,
        negative=about.negative,
        grouping=Grouping(thumbnail=THUMBNAIL, correlation=CORRELATION, named=patients is not None),
        seed=seed,
        shares=dict(SHARES),
    )
    return write_dataset(folder, description, table)


def _labelled(folder: Path, labels: Sequence[str]) -> tuple[list[Path], list[str]]:
    files: list[Path] = []
    named: list[str] = []
    for label in labels:
        home = folder / IMAGES_FOLDER / label
        found = sorted(path for path in home.glob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
        if len(found) < _FEWEST:
            raise InvalidDataset(f"{home} holds {len(found)} PNG or JPEG images; put at least {_FEWEST} there.")
        files += found
        named += [label] * len(found)
    return files, named


def _patients(folder: Path, names: Sequence[str]) -> list[str] | None:
    """The patient of each image, or ``None`` where nobody knows; an image that is not listed is refused."""
    path = folder / PATIENTS_NAME
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as lines:
        known = {row.get("file", ""): row.get("patient") or "" for row in csv.DictReader(lines)}
    missing = [name for name in names if not known.get(name)]
    if missing:
        raise InvalidDataset(f"{path} names no patient for {missing[0]}; list every image or remove the file.")
    return [known[name] for name in names]
