"""`overread db`: bring the schema to this release's revision, or say where it stands."""

import time

import click

from overread.database import existing_database, reachable_database
from overread.settings import load_settings
from storage.errors import DatabaseUnavailable
from storage.postgres import schema

_PAUSE_SECONDS = 1.0


@click.group()
def db() -> None:
    """Upgrade or check the database schema."""


@db.command()
@click.option("--wait", type=click.FloatRange(min=0), default=0, metavar="SECONDS", help="Wait for a server at first.")
def upgrade(wait: float) -> None:
    """Bring the database to the revision this release needs."""
    settings = load_settings()
    if settings.database.url:
        click.echo(f"The database stands at revision {_upgraded(settings.database.url, wait)}.")
        return
    with reachable_database(settings) as url:
        click.echo(f"The embedded database stands at revision {schema.upgrade(url)}.")


@db.command()
def check() -> None:
    """Say whether the database is reachable and at the revision this release needs."""
    with existing_database(load_settings()) as url:
        click.echo(f"The database is reachable and stands at revision {schema.check(url)}, as this release needs.")


def _upgraded(url: str, wait: float) -> str:
    """Upgrade once the server answers; the last failure is raised when it does not in time."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return schema.upgrade(url)
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
