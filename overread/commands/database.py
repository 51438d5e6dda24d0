"""`overread db`: bring the schema to this release's revision, or say where it stands."""

import click

from overread.database import existing_database, reachable_database
from overread.settings import load_settings
from storage.postgres import schema


@click.group()
def db() -> None:
    """Upgrade or check the database schema."""


@db.command()
def upgrade() -> None:
    """Bring the database to the revision this release needs."""
    settings = load_settings()
    if settings.database.url:
        click.echo(f"The database stands at revision {schema.upgrade(settings.database.url)}.")
        return
    with reachable_database(settings) as url:
        click.echo(f"The embedded database stands at revision {schema.upgrade(url)}.")


@db.command()
def check() -> None:
    """Say whether the database is reachable and at the revision this release needs."""
    with existing_database(load_settings()) as url:
        click.echo(f"The database is reachable and stands at revision {schema.check(url)}, as this release needs.")
