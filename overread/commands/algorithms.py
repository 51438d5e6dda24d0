"""`overread algorithms`: what is installed, adding one, checking the bytes."""

import getpass
from pathlib import Path

import click
from rich.table import Table

from inference.errors import InvalidAlgorithm
from overread.commands.status import output_console
from overread.database import existing_database, reachable_database
from overread.settings import load_settings
from storage.domain.algorithm import RegisteredAlgorithm
from storage.errors import UnknownRecord
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database


@click.group()
def algorithms() -> None:
    """List, add and verify algorithms."""


@algorithms.command("list")
def list_algorithms() -> None:
    """Every installed version with the digest of its model file."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "version", "stage", "artifact SHA-256"):
        table.add_column(column, no_wrap=column == "artifact SHA-256", overflow="fold")
    for algorithm in _installed():
        table.add_row(algorithm.name, algorithm.version, algorithm.stage, algorithm.artifact_sha256)
    if table.row_count == 0:
        click.echo("No algorithm is installed; `overread algorithms add FOLDER` adds one.")
    else:
        output_console().print(table)


@algorithms.command()
@click.argument("folder", type=click.Path(path_type=Path))
def add(folder: Path) -> None:
    """Check the algorithm in FOLDER, copy it and make it the active version of its name."""
    from overread.installation import install

    settings = load_settings()
    with reachable_database(settings) as url:
        database = open_database(url, "overread algorithms")
        try:
            added = install(folder, settings.data_dir, PostgresAlgorithmCatalog(database), getpass.getuser())
        finally:
            database.close()
    click.echo(f"{added.name} {added.version} is active; its model file has SHA-256 {added.artifact_sha256}.")


@algorithms.command()
@click.argument("name_or_folder", required=False)
def verify(name_or_folder: str | None) -> None:
    """Check the bytes of a FOLDER, of the installed versions of a NAME, or of everything installed."""
    from inference.algorithms.folder import verify as verify_folder

    if name_or_folder and Path(name_or_folder).is_dir():
        verified = verify_folder(Path(name_or_folder))
        click.echo(f"{name_or_folder}: complete and consistent; SHA-256 {verified.artifact_sha256}.")
        return
    chosen = [known for known in _installed() if name_or_folder in (None, known.name)]
    if name_or_folder and not chosen:
        raise UnknownRecord(f"{name_or_folder} is neither a folder nor an installed algorithm.")
    for algorithm in chosen:
        verified = verify_folder(algorithm.folder)
        if verified.artifact_sha256 != algorithm.artifact_sha256:
            raise InvalidAlgorithm(
                f"The model file of {algorithm.name} {algorithm.version} is not the one that was added; add it again."
            )
        click.echo(f"{algorithm.name} {algorithm.version}: as added; SHA-256 {algorithm.artifact_sha256}.")


def _installed() -> tuple[RegisteredAlgorithm, ...]:
    with existing_database(load_settings()) as url:
        database = open_database(url, "overread algorithms")
        try:
            return PostgresAlgorithmCatalog(database).all()
        finally:
            database.close()
