"""A data set's manifest: ``dataset.yaml`` says what it is, ``images.csv`` lists each image, its group and split."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.algorithms.schema_problem import first_problem
from training.datasets.splitting import SPLITS
from training.errors import InvalidDataset, StraddlingDataset

DESCRIPTION_NAME = "dataset.yaml"
TABLE_NAME = "images.csv"
COLUMNS = ("file", "label", "group", "split", "sha256")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Grouping(_Part):
    """How images that are not independent were found."""

    thumbnail: int = Field(ge=4, description="Pixels per side of the thumbnails that were compared.")
    correlation: float = Field(gt=0, le=1, description="Above it, two thumbnails, also mirrored, are one group.")
    named: bool = Field(default=False, description="Images of the same name in patients.csv are one group as well.")


class Description(_Part):
    """The whole of ``dataset.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    title: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, description="Where the images come from, exactly enough to get them again.")
    licence: str = Field(min_length=1, description="Of the images, and what is known of it.")
    positive: str = Field(description="The label that the network is to find.")
    negative: str = Field(description="The other label.")
    grouping: Grouping
    seed: int = Field(description="Of the split.")
    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="Of the images, wanted per split.")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A checked data set: its folder, its description, its table (see ``COLUMNS``) and the SHA-256 of both files."""

    folder: Path
    description: Description
    table: pd.DataFrame
    sha256: str

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split."""
        return self.table[self.table["split"] == name].reset_index(drop=True)

    def summary(self) -> str:
        """How many images and groups there are, by split and label."""
        lines = [f"{self.description.title}: {len(self.table)} images in {self.table['group'].nunique()} groups."]
        for name in SPLITS:
            rows = self.split(name)
            parts = []
            for label in (self.description.positive, self.description.negative):
                groups = rows["group"][rows["label"] == label]
                parts.append(f"{len(groups)} {label} in {groups.nunique()} groups")
            lines.append(f"  {name}: {', '.join(parts)}")
        return "\n".join(lines)


def write_dataset(folder: Path, description: Description, table: pd.DataFrame) -> Dataset:
    """Check and write both files; what is returned is what was read back.

    Raises:
        InvalidDataset: the table contradicts itself.
    """
    check(table, description)
    document = yaml.safe_dump(description.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    (folder / DESCRIPTION_NAME).write_text(document, encoding="utf-8")
    table.to_csv(folder / TABLE_NAME, index=False, columns=list(COLUMNS), lineterminator="\n")
    return load_dataset(folder)


def load_dataset(folder: Path) -> Dataset:
    """Read both files and check that no group and no image stands on two sides.

    Raises:
        InvalidDataset: a file is missing or does not follow its schema.
        StraddlingDataset: a group or the bytes of an image stand in several splits.
    """
    try:
        described = (folder / DESCRIPTION_NAME).read_bytes()
        listed = (folder / TABLE_NAME).read_bytes()
    except OSError as error:
        raise InvalidDataset(
            f"{folder} holds no data set ({error.strerror}: {Path(str(error.filename)).name}); "
            "make one with `overread dataset`."
        ) from None
    description = _description(described, folder / DESCRIPTION_NAME)
    table = _table(folder / TABLE_NAME)
    check(table, description)
    return Dataset(folder, description, table, hashlib.sha256(described + listed).hexdigest())


def check(table: pd.DataFrame, description: Description) -> None:
    """Refuse a table from which no honest figure could follow.

    Raises:
        InvalidDataset: labels, splits or files are not what they must be.
        StraddlingDataset: a group or the bytes of an image stand in several splits.
    """
    _check_rows(table, description)
    for column, noun in (("group", "Group"), ("sha256", "The image with SHA-256")):
        splits = table.groupby(column)["split"].agg(lambda names: sorted(set(names)))
        straddling = splits[splits.map(len) > 1]
        if len(straddling):
            raise StraddlingDataset(
                f"{noun} {straddling.index[0]} stands in {' and '.join(straddling.iloc[0])} "
                f"({len(straddling)} such in {TABLE_NAME}); make the split again with `overread dataset`."
            )
    labels = table.groupby("sha256")["label"].nunique()
    if (labels > 1).any():
        raise InvalidDataset(f"The image with SHA-256 {labels.idxmax()} carries both labels; remove it or decide.")


def _check_rows(table: pd.DataFrame, description: Description) -> None:
    wanted = {description.positive, description.negative}
    if set(table["label"]) != wanted:
        raise InvalidDataset(
            f"The labels in {TABLE_NAME} are not exactly {' and '.join(sorted(wanted))}; correct them."
        )
    foreign = set(table["split"]) - set(SPLITS)
    if foreign:
        raise InvalidDataset(f"{TABLE_NAME} names a split {sorted(foreign)[0]!r}; there are {', '.join(SPLITS)}.")
    if table["file"].duplicated().any():
        raise InvalidDataset(f"{table['file'][table['file'].duplicated()].iloc[0]} is listed twice in {TABLE_NAME}.")
    outside = [name for name in table["file"] if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise InvalidDataset(f"{outside[0]} in {TABLE_NAME} lies outside the data set's folder; put the image into it.")
    for split in SPLITS:
        if set(table["label"][table["split"] == split]) != wanted:
            raise InvalidDataset(f"The {split} split does not hold both labels; use more images or another seed.")


def _description(content: bytes, path: Path) -> Description:
    try:
        return Description.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InvalidDataset(f"{path} is not valid YAML; mend its syntax.") from None
    except ValidationError as error:
        raise InvalidDataset(f"{path}: {first_problem(error)}; correct it.") from None


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"file": str, "label": str, "group": int, "split": str, "sha256": str})
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InvalidDataset(f"{path} is not a table of images ({type(error).__name__}); make it again.") from None
    if tuple(table.columns) != COLUMNS or table.isna().any(axis=None) or table.empty:
        raise InvalidDataset(f"{path} needs the columns {', '.join(COLUMNS)}, all filled; make it again.")
    return table
