"""Bringing a database to the schema that this release needs, or saying why it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage.errors import SchemaOutdated
from storage.postgres.engine import named_errors, open_engine


def migrations_folder() -> Path:
    """Where the migrations are: beside this file in an installed wheel, at the root in a checkout."""
    shipped = Path(__file__).with_name("migrations")
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "migrations"


def configuration(url: str) -> Config:
    """What Alembic needs to work on the database at ``url``, without reading any file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["url"] = url  # not an option: a password could contain what the parser interpolates
    return config


def upgrade(url: str) -> str:
    """Bring the database to this release's schema and return its revision; two upgrades wait for one another.

    Raises:
        DatabaseUnavailable: there is no server, or another program held a table for too long.
    """
    config = configuration(url)
    with named_errors():
        command.upgrade(config, "head")
    return _wanted(ScriptDirectory.from_config(config))


def check(url: str) -> str:
    """Return the database's revision if it is the one this release needs.

    Raises:
        SchemaOutdated: it is older, newer, or there is none.
        DatabaseUnavailable: there is no server.
    """
    scripts = ScriptDirectory.from_config(configuration(url))
    wanted = _wanted(scripts)
    engine = open_engine(url, "overread schema check", pooled=False)
    with named_errors(), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == wanted:
        return found
    if found is None:
        raise SchemaOutdated(
            f"The database has no schema yet and this release needs {wanted}; run `overread db upgrade`."
        )
    if found not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaOutdated(
            f"The database schema is at revision {found}, which this release does not know (it needs {wanted}); "
            "install the release that made it."
        )
    raise SchemaOutdated(
        f"The database schema is at revision {found} and this release needs {wanted}; run `overread db upgrade`."
    )


def _wanted(scripts: ScriptDirectory) -> str:
    head = scripts.get_current_head()
    if head is None:
        raise SchemaOutdated("This installation lacks its migrations; install it again.")
    return head
