"""A cluster of the first release, which knew one role and no chain, under this release."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic import command

from overread.audit_verification import verify_trail
from overread.database import own_database
from overread.settings import Settings
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.engine import open_database


def _ask(url: str, *statements: str) -> list[Any]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder as the first release left it: three audit rows, tables and service of one superuser."""
    with tempfile.TemporaryDirectory(prefix="overread-pg-") as name:
        Path(name).chmod(0o711)
        server = EmbeddedPostgres(Path(name) / "postgres")
        server.start()
        try:
            command.upgrade(schema.configuration(server.owner_url), "5d0c2f7a91be")
            _ask(
                server.owner_url,
                "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details) "
                "SELECT 'application-started', 'listener', 'success', '', '{}' FROM generate_series(1, 3)",
                f"DROP ROLE {SERVICE_ROLE}",
            )
        finally:
            server.stop()
        (Path(name) / "postgres" / "service-password").unlink()
        yield Path(name)


def test_the_service_loses_its_power_and_the_rows_become_a_chain(data_dir: Path) -> None:
    """After the upgrade the old rows verify, new ones join them, and the service may do nothing else to them."""
    with own_database(Settings.model_construct(data_dir=data_dir)) as server:
        _ask(
            server.url,
            "INSERT INTO audit_event (action, actor, outcome, study_instance_uid, details) "
            "VALUES ('application-started', 'listener', 'success', '', '{}')",
        )
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _ask(server.url, "DELETE FROM audit_event")
        database = open_database(server.url, "test")
        found = verify_trail(database, CheckpointFile(data_dir))
        database.close()
        role = _ask(server.url, "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
        actors = _ask(server.url, "SELECT actor FROM audit_event ORDER BY id")

    assert (found.rows, found.faults) == (5, ())
    assert actors == [("listener",)] * 3 + [("migration",), ("listener",)]
    assert role == [(SERVICE_ROLE, False)]
