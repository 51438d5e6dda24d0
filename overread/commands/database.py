"""`overread db`: bring the schema to this release's revision, or say where it stands."""

import time

import click

from overread.database import database_to_fill, existing_database, upgrade_configured
from overread.settings import Settings, load_settings
from storage.errors import AuditTampered, DatabaseUnavailable
from storage.postgres import schema
from storage.postgres.audit_chain import guard
from storage.postgres.engine import open_database

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
        click.echo(f"The database stands at revision {_upgraded(settings, wait)}.")
        return
    with database_to_fill(settings) as url:
        click.echo(f"The embedded database stands at revision {schema.upgrade(url)}.")


@db.command()
def check() -> None:
    """Say whether the database is reachable, at the revision this release needs, and guards its audit trail."""
    with existing_database(load_settings()) as url:
        click.echo(f"The database is reachable and stands at revision {schema.check(url)}, as this release needs.")
        database = open_database(url, "overread db check")
        try:
            found = guard(database)
        finally:
            database.close()
    for sentence in found.weak:
        click.echo(f"Note: {sentence}", err=True)
    if found.broken:
        raise AuditTampered(" ".join(found.broken))
    if found.assurance:
        click.echo(found.assurance)


def _upgraded(settings: Settings, wait: float) -> str:
    """Upgrade once the server answers; the last failure is raised when it does not in time."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return upgrade_configured(settings)
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
