"""`overread algorithms`: what is installed, adding one, checking the bytes, deciding which version is given work."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.table import Table

from inference.algorithms.trial import TrialLimits
from overread.caller import caller
from overread.commands.algorithms_fetch import fetch
from overread.commands.algorithms_import import import_group
from overread.commands.algorithms_show import show
from overread.commands.algorithms_verify import TIME_LIMIT, verify
from overread.commands.status import output_console
from overread.database import database_to_fill, existing_database
from overread.promotion import Acceptance, Promoted, check_bytes
from overread.promotion import promote as promote_version
from overread.settings import Settings, load_settings
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm, Standing
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import Database, open_database

_LONGEST_REASON = 500


@click.group()
def algorithms() -> None:
    """List, add and verify algorithms, and decide which version is given work."""


algorithms.add_command(fetch)
algorithms.add_command(import_group)
algorithms.add_command(show)
algorithms.add_command(verify)


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
@click.argument("source", metavar="FOLDER_OR_ARCHIVE", type=click.Path(path_type=Path))
@click.option("--hold", is_flag=True, help="Give it no work until it is promoted.")
@TIME_LIMIT
def add(source: Path, hold: bool, time_limit: int) -> None:
    """Try out the algorithm in a folder, .zip or .tar.gz, copy it and make it the active version of its name.

    Its network is loaded for the first time in a process of its own with little memory, time and no settings.
    """
    from overread.installation import install

    settings = load_settings()
    with database_to_fill(settings) as url, _database(url) as database:
        catalog, limits = PostgresAlgorithmCatalog(database), TrialLimits(time_limit)
        before = catalog.all()  # what is decided while it is tried out is not overruled by it
        added = install(source, settings.data_dir, catalog, caller(), limits=limits, hold=True)
        if hold or added.stage is AlgorithmStage.ACTIVE:
            click.echo(f"{added.name} {added.version} is {added.stage}; SHA-256 {added.artifact_sha256}.")
        else:
            others = {one.version: one.stage for one in before if one.name == added.name}
            _promote(settings, database, added, seen=Standing({**others, added.version: added.stage}))


@algorithms.command()
@click.argument("name")
@click.argument("version")
@click.option(
    "--acceptance",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Run the acceptance set in this folder instead of the algorithm's own.",
)
@click.option("--skip-acceptance", "reason", metavar="REASON", help="Run none; the audit row says why.")
def promote(name: str, version: str, acceptance: Path | None, reason: str | None) -> None:
    """Give VERSION of NAME the work from now on, and retire the version that had it.

    A version with an acceptance set has to get its cases right first.
    """
    if acceptance is not None and reason is not None:
        raise click.UsageError("--acceptance runs a set and --skip-acceptance runs none; give one of them.")
    if reason is not None and not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise click.UsageError(
            f"--skip-acceptance needs a reason of at most {_LONGEST_REASON} characters for the audit trail."
        )
    settings = load_settings()
    with existing_database(settings) as url, _database(url) as database:
        algorithm = PostgresAlgorithmCatalog(database).find(name, version)
        _promote(settings, database, algorithm, Acceptance(acceptance, (reason or "").strip()))


@algorithms.command()
@click.argument("name")
@click.argument("version")
def shadow(name: str, version: str) -> None:
    """Try VERSION of NAME on each study that comes, after all other work; what it finds is sent to nobody."""
    with existing_database(load_settings()) as url, _catalog(url) as catalog:
        seen = catalog.standing(name)
        algorithm = catalog.find(name, version)
        check_bytes(algorithm)
        catalog.shadow(name, version, caller(), seen=seen)
    left = f" {name} has no active version now." if algorithm.stage is AlgorithmStage.ACTIVE else ""
    click.echo(f"{name} {version} is in shadow; `overread explain UID` tells what it finds.{left}")


@algorithms.command()
@click.argument("name")
def rollback(name: str) -> None:
    """Promote the version of NAME that was active before the last one."""
    with existing_database(load_settings()) as url, _catalog(url) as catalog:
        seen = catalog.standing(name)
        algorithm = catalog.previous(name)
        check_bytes(algorithm)
        before = catalog.promote(name, algorithm.version, caller(), {"decision": "rollback"}, seen=seen)
        _say_promoted(algorithm, Promoted(before, 0))


@algorithms.command()
@click.argument("name")
@click.argument("version")
def retire(name: str, version: str) -> None:
    """Give VERSION of NAME no more work; where it is the active one, nothing analyses in its place."""
    with existing_database(load_settings()) as url, _catalog(url) as catalog:
        catalog.retire(name, version, caller(), seen=catalog.standing(name))
    click.echo(f"{name} {version} is retired; what is scheduled already is still done.")


def _promote(
    settings: Settings,
    database: Database,
    algorithm: RegisteredAlgorithm,
    acceptance: Acceptance | None = None,
    seen: Standing | None = None,
) -> None:
    promoted = promote_version(settings, database, algorithm, caller(), acceptance or Acceptance(), seen)
    _say_promoted(algorithm, promoted)


def _say_promoted(algorithm: RegisteredAlgorithm, promoted: Promoted) -> None:
    replaced = f" in place of {promoted.before.version}" if promoted.before else ""
    cases = "1 case" if promoted.cases == 1 else f"{promoted.cases} cases"
    passed = f" It passed {cases} of its acceptance set." if promoted.cases else ""
    title = f"{algorithm.name} {algorithm.version}"
    click.echo(f"{title} is active{replaced}; SHA-256 {algorithm.artifact_sha256}.{passed}")


def _installed() -> tuple[RegisteredAlgorithm, ...]:
    with existing_database(load_settings()) as url, _catalog(url) as catalog:
        return catalog.all()


@contextmanager
def _catalog(url: str) -> Iterator[PostgresAlgorithmCatalog]:
    with _database(url) as database:
        yield PostgresAlgorithmCatalog(database)


@contextmanager
def _database(url: str) -> Iterator[Database]:
    database = open_database(url, "overread algorithms")
    try:
        yield database
    finally:
        database.close()
