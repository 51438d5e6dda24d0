"""The rows that tell what was done."""

from sqlalchemy import insert
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditEvent
from storage.postgres.engine import Database
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import AuditEventRow

_WAITING = "audit events"


def append(session: Session, *events: AuditEvent) -> None:
    """Write events in the caller's transaction: the change and its audit row stand or fall together.

    They are written as the last thing before the commit. The rows form one chain (the trigger
    `audit_event_joins_chain` computes it), so each writer holds the chain's end until its commit; taken last, it is
    held for a moment only, and nobody who holds it ever waits for another lock.
    """
    if not events:
        return
    if _WAITING not in session.info:
        session.info[_WAITING] = []
        listen(session, "before_commit", _write)
    session.info[_WAITING].extend(events)


def _write(session: Session) -> None:
    events = session.info[_WAITING]
    if events:
        session.flush()
        session.execute(insert(AuditEventRow), [_row(event) for event in events])
        events.clear()


def _row(event: AuditEvent) -> dict[str, object]:
    return {
        "action": str(event.action),
        "actor": stored_text(event.actor),
        "outcome": str(event.outcome),
        "study_instance_uid": stored_text(event.study_instance_uid),
        "job_id": event.job_id,
        "details": {
            key: stored_text(value) if isinstance(value, str) else value for key, value in event.details.items()
        },
    }


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
