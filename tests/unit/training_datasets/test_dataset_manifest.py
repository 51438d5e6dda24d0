"""A data set's manifest is written once and checked each time it is read."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.imaging import plane
from tests.peers.labelled_images import ABOUT, labelled_dataset, write_labelled_images
from training.datasets import images
from training.datasets.labelled_folder import make_dataset
from training.datasets.manifest import COLUMNS, load_dataset
from training.errors import InvalidDataset, StraddlingDataset

Edit = Callable[[list[dict[str, str]]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid data set."""
    return labelled_dataset(tmp_path_factory.mktemp("spots")).folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "spots"))


def edited(folder: Path, edit: Edit) -> Path:
    """Change the rows of ``images.csv``."""
    with (folder / "images.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    edit(rows)
    with (folder / "images.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _other(split: str) -> str:
    return "test" if split == "train" else "train"


def test_turned_copies_are_in_the_group_of_their_original(made: Path) -> None:
    """The upside-down copy of each image carries its group and its split."""
    table = load_dataset(made).table.set_index("file")
    copies = [name for name in table.index if name.endswith("-over.png")]

    assert len(copies) == 20
    for copy in copies:
        original = table.loc[copy.replace("-over", "")]
        assert (table.loc[copy, "group"], table.loc[copy, "split"]) == (original["group"], original["split"])


def test_a_group_on_two_sides_is_refused_by_name(folder: Path) -> None:
    """Moving one copy to another split is found at the next load, and the message names the group and the splits."""
    moved: dict[str, str] = {}

    def move(rows: list[dict[str, str]]) -> None:
        row = next(row for row in rows if row["file"].endswith("-over.png"))
        row["split"] = _other(row["split"])
        moved.update(row)

    with pytest.raises(StraddlingDataset, match=r"test and train|train and validation|test and validation") as refusal:
        load_dataset(edited(folder, move))

    assert f"Group {moved['group']} " in str(refusal.value)


def test_the_same_bytes_on_two_sides_are_refused(folder: Path) -> None:
    """Even under another group number, one image may not be learned from and tested on."""
    copied: dict[str, str] = {}

    def copy(rows: list[dict[str, str]]) -> None:
        copied.update(rows[0])
        rows.append(rows[0] | {"file": "images/plain/again.png", "group": "999", "split": _other(rows[0]["split"])})

    with pytest.raises(StraddlingDataset) as refusal:
        load_dataset(edited(folder, copy))

    assert copied["sha256"] in str(refusal.value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda rows: rows[0].update(label="other"), "labels"),
        (lambda rows: rows[0].update(split="holdout"), "holdout"),
        (lambda rows: rows[1].update(file=rows[0]["file"]), "listed twice"),
        (lambda rows: rows[0].update(file="../outside.png"), "outside"),
        (lambda rows: rows[0].update(group="x"), "not a table"),
        (lambda rows: rows[0].update(sha256=""), "all filled"),
        (lambda rows: [row.update(split="train") for row in rows], "does not hold both labels"),
        (lambda rows: rows.append(rows[0] | {"file": "again", "label": "spot"}), "both labels"),
    ],
)
def test_a_table_without_honest_figures_is_refused_in_one_sentence(folder: Path, edit: Edit, words: str) -> None:
    """Each mistake has a sentence with what to do."""
    with pytest.raises(InvalidDataset, match=words) as refusal:
        load_dataset(edited(folder, edit))

    assert "\n" not in str(refusal.value)


def test_a_changed_image_is_not_learned_from(folder: Path) -> None:
    """Each file must be the one that was listed when the split was made."""
    dataset = load_dataset(folder)
    name = dataset.table["file"][0]
    Image.radial_gradient("L").save(folder / name)

    with pytest.raises(InvalidDataset, match=f"{name} is not the file that was listed"):
        images.prepared_images(dataset, dataset.table, ImagePreprocessing(size=(8, 8)))


def test_training_prepares_images_with_the_function_that_serves() -> None:
    """There is one preprocessing: training calls the very object that the worker calls."""
    assert images.prepare_plane is plane.prepare_plane


def test_patients_stay_on_one_side(tmp_path: Path) -> None:
    """Where patients.csv says whose image it is, all images of a patient are one group; a gap in it is refused."""
    write_labelled_images(tmp_path)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("images/*/*.png"))
    patients = {name: f"P{index // 4}" for index, name in enumerate(names)}
    _write_patients(tmp_path, patients)

    table = make_dataset(tmp_path, ABOUT, seed=1).table
    assert table.groupby(table["file"].map(patients))["group"].nunique().max() == 1

    _write_patients(tmp_path, dict(list(patients.items())[1:]))
    with pytest.raises(InvalidDataset, match=names[0]):
        make_dataset(tmp_path, ABOUT, seed=1)


def test_a_folder_of_ones_own_becomes_a_data_set(tmp_path: Path) -> None:
    """`overread dataset folder` writes the manifest of labelled images, whatever their folder is called."""
    folder = tmp_path / "My Images (2)"
    write_labelled_images(folder)
    command = [sys.executable, "-m", "overread", "dataset", "folder", str(folder), "--positive", "spot"]
    command += ["--negative", "plain", "--title", "Discs", "--source", "a test", "--licence", "CC0-1.0"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "80 images in" in done.stdout
    assert load_dataset(folder).description.name == "my-images-2"


def _write_patients(folder: Path, patients: dict[str, str]) -> None:
    lines = ["file,patient", *(f"{name},{patient}" for name, patient in patients.items())]
    (folder / "patients.csv").write_text("\n".join(lines) + "\n")
