"""The rows that tell what was done."""

from sqlalchemy import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditEvent
from storage.postgres.engine import Database
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import AuditEventRow


def append(session: Session, *events: AuditEvent) -> None:
    """Write events in the caller's transaction: the change and its audit row stand or fall together."""
    if not events:
        return
    session.execute(
        insert(AuditEventRow),
        [
            {
                "action": str(event.action),
                "actor": stored_text(event.actor),
                "outcome": str(event.outcome),
                "study_instance_uid": stored_text(event.study_instance_uid),
                "job_id": event.job_id,
                "details": {
                    key: stored_text(value) if isinstance(value, str) else value for key, value in event.details.items()
                },
            }
            for event in events
        ],
    )


class PostgresAuditTrail:
    """Implements the port AuditTrail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, event: AuditEvent) -> None:
        """Write an event that belongs to no other change, such as the start of a process.

        Raises:
            DatabaseUnavailable: nothing was written.
        """
        with self._database.transaction() as session:
            append(session, event)
