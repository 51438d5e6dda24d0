"""Bringing a database to the schema that this release needs, or saying why it is not."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from sqlalchemy.exc import ProgrammingError

from storage.errors import DatabaseUnavailable, SchemaBehind, SchemaOutdated
from storage.postgres.engine import named_errors, open_engine
from storage.postgres.tables import Base

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_INSUFFICIENT_PRIVILEGE = "42501"  # a SQLSTATE


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
        SchemaOutdated: another release, or another program, made the schema that is there, or this role may not
            change it; nothing was changed.
    """
    config = configuration(url)
    scripts = ScriptDirectory.from_config(config)
    _refuse_foreign(scripts, _found(url))
    with named_errors():
        try:
            command.upgrade(config, "head")
        except ProgrammingError as error:
            if getattr(error.orig, "pgcode", None) != _INSUFFICIENT_PRIVILEGE:
                raise
            raise SchemaOutdated(
                "This database role may not change the schema; run `overread db upgrade` with [database] owner_url set "
                "to the role that owns the tables."
            ) from None
    return _wanted(scripts)


def check(url: str) -> str:
    """Return the database's revision if it is the one this release needs.

    Raises:
        SchemaBehind: it is older, or there is none; an upgrade helps.
        SchemaOutdated: it is newer, or the tables are another program's.
        DatabaseUnavailable: there is no server.
    """
    scripts = ScriptDirectory.from_config(configuration(url))
    wanted = _wanted(scripts)
    found = _found(url)
    _refuse_foreign(scripts, found)
    if found.revisions == (wanted,):
        return wanted
    if not found.revisions:
        raise SchemaBehind(
            f"The database has no schema yet and this release needs {wanted}; run `overread db upgrade`."
        )
    raise SchemaBehind(
        f"The database schema is at revision {', '.join(found.revisions)} and this release needs {wanted}; "
        "run `overread db upgrade`."
    )


def wait_until_current(url: str, stop: threading.Event, alive: Callable[[], None] = lambda: None) -> bool:
    """Wait until the database answers and is at this release's revision; ``False`` once ``stop`` is set.

    Servers and their upgrade may start in any order; each reason for waiting is told once. ``alive`` is called at
    each look.

    Raises:
        SchemaOutdated: waiting would not help, because another release or another program made the schema.
    """
    told = ""
    while not stop.is_set():
        alive()
        try:
            check(url)
        except (DatabaseUnavailable, SchemaBehind) as reason:
            if str(reason) != told and not stop.is_set():  # where all is told to stop, the server has ended too
                told = str(reason)
                _LOG.warning("waiting: %s", told)
            stop.wait(_PAUSE_SECONDS)
        else:
            if told:
                _LOG.info("the database is there, at the revision this release needs")
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Found:
    revisions: tuple[str, ...]  # what Alembic wrote down; more than one only if another program did
    tables: frozenset[str]  # those that are named like ours


def _found(url: str) -> _Found:
    engine = open_engine(url, "overread schema check", pooled=False)
    with named_errors(), engine.connect() as connection:
        # Tables first: an upgrade that ends between the two questions then shows by its revision.
        tables = frozenset(Base.metadata.tables).intersection(inspect(connection).get_table_names())
        try:
            return _Found(MigrationContext.configure(connection).get_current_heads(), tables)
        except ProgrammingError as error:
            if getattr(error.orig, "pgcode", None) != _INSUFFICIENT_PRIVILEGE:
                raise
            raise SchemaBehind(
                "The role of [database] url has no rights on the tables yet; run `overread db upgrade` with [database] "
                "owner_url set to the role that owns them."
            ) from None


def _refuse_foreign(scripts: ScriptDirectory, found: _Found) -> None:
    unknown = set(found.revisions) - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise SchemaOutdated(
            f"The database schema is at revision {', '.join(sorted(unknown))}, which this release does not know "
            f"(it needs {_wanted(scripts)}); install the release that made it, or name another database."
        )
    if found.tables and not found.revisions:
        raise SchemaOutdated(
            f"The database holds a table {min(found.tables)} that Overread did not make; set [database] url to an "
            "empty database."
        )


def _wanted(scripts: ScriptDirectory) -> str:
    head = scripts.get_current_head()
    if head is None:
        raise SchemaOutdated("This installation lacks its migrations; install it again.")
    return head
