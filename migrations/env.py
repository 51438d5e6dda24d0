"""How a migration enters a database where others are working: short waits, one at a time, all or nothing."""

import os

from alembic import context
from sqlalchemy import text

from storage.errors import StorageError
from storage.postgres.engine import UPGRADE_LOCK, open_engine
from storage.postgres.tables import Base

_WAIT_FOR_ANOTHER_UPGRADE = "10min"
_LOCK_TIMEOUT = "5s"
_STATEMENT_TIMEOUT = "10min"


def _url() -> str:
    """The database to work on: from our own code, from ``-x url=…``, or from the environment."""
    url = (
        context.config.attributes.get("url")
        or context.get_x_argument(as_dictionary=True).get("url")
        or os.environ.get("OVERREAD_DATABASE_URL")
    )
    if not url:
        raise StorageError("No database is named; set OVERREAD_DATABASE_URL or pass -x url=postgresql://…")
    return str(url)


def _migrate() -> None:
    engine = open_engine(_url(), "overread migration", pooled=False)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=False)
        with context.begin_transaction():
            # The lock is waited for before the revision is read, so the second upgrade finds nothing to do.
            connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_FOR_ANOTHER_UPGRADE}'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{_WAIT_FOR_ANOTHER_UPGRADE}'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))
            context.run_migrations()


if context.is_offline_mode():
    raise StorageError("Migrations need a database to work on; run them without --sql.")
_migrate()
