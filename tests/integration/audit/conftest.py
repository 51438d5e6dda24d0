"""An audit trail with rows of the service, and an owner who may do anything to it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from overread.audit_verification import Verification, verify_trail
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.housekeeping.anchor_audit import anchor_audit
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import Database, open_database

# As the migration's functions do, so that an owner's forgery is as good as it can be.
_REBUILD = """
DO $$
DECLARE
    event audit_event;
    head audit_head;
BEGIN
    head.rows := 0;
    head.row_hash := decode(repeat('00', 32), 'hex');
    FOR event IN SELECT * FROM audit_event ORDER BY id LOOP
        head.rows := head.rows + 1;
        UPDATE audit_event SET id = head.rows, prev_hash = head.row_hash WHERE id = event.id RETURNING * INTO event;
        UPDATE audit_event SET row_hash = audit_row_hash(event) WHERE id = event.id RETURNING row_hash
            INTO head.row_hash;
    END LOOP;
    UPDATE audit_head SET rows = head.rows, row_hash = head.row_hash;
END
$$
"""


@dataclass
class Trail:
    """The service's side (``database``) and the owner's (``owner_url``) of one audit trail."""

    owner_url: str
    database: Database
    checkpoints: CheckpointFile

    def write(self, count: int) -> None:
        """Rows such as the service writes."""
        for number in range(count):
            event = AuditEvent(
                AuditAction.STUDY_VIEWED,
                "alice",
                AuditOutcome.SUCCESS,
                "1.2.3",
                7,
                {"name": 'Ünïcode \\ "quoted" \t', "number": number, "share": 0.25, "nothing": None},
            )
            PostgresAuditTrail(self.database).record(event)

    def anchor(self) -> int:
        """What the housekeeper does each minute."""
        return anchor_audit(self.database, self.checkpoints)

    def verify(self, public_key: bytes | None = None) -> Verification:
        """What `overread audit verify` does."""
        return verify_trail(self.database, self.checkpoints, public_key)

    def as_owner(self, *statements: str) -> list[tuple[Any, ...]]:
        """Statements of the owner in one transaction; the rows of the last."""
        with (
            contextlib.closing(psycopg2.connect(self.owner_url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def tamper(self, *statements: str, rebuild: bool) -> None:
        """Statements of the owner with the guards switched off; ``rebuild`` makes every hash fit again."""
        self.as_owner(
            "ALTER TABLE audit_event DISABLE TRIGGER USER",
            *statements,
            *([_REBUILD] if rebuild else []),
            "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_append_only",
            "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_joins_chain",
        )


@pytest.fixture
def open_trail(tmp_path: Path) -> Iterator[Callable[[str, str], Trail]]:
    """Opens trails by their two URLs; all share one folder of checkpoints."""
    opened: list[Trail] = []

    def open_one(owner_url: str, service_url: str) -> Trail:
        opened.append(Trail(owner_url, open_database(service_url, "test"), CheckpointFile(tmp_path / "data")))
        return opened[-1]

    yield open_one
    for trail in opened:
        trail.database.close()


@pytest.fixture
def trail(open_trail: Callable[[str, str], Trail], database_url: str, service_url: str) -> Trail:
    """An empty trail."""
    return open_trail(database_url, service_url)
