"""Reading the audit trail; whoever reads it leaves a row in it too."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.tables import AuditEventRow

_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One row as a person reads it."""

    id: int
    recorded_at: datetime
    action: str
    actor: str
    outcome: str
    study_instance_uid: str
    job_id: int | None
    details: dict[str, Any]
    row_hash: str


class AuditReader:
    """Reads rows for a person; every method may raise DatabaseUnavailable, and then nothing was shown."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, count: int, reader: str) -> list[AuditRecord]:
        """The last rows, oldest first; that ``reader`` saw them is written down in the same transaction."""
        with self._database.transaction() as session:
            rows = session.scalars(select(AuditEventRow).order_by(AuditEventRow.id.desc()).limit(count)).all()
            append(session, AuditEvent(AuditAction.AUDIT_READ, reader, details={"rows": len(rows)}))
            return [_record(row) for row in reversed(rows)]

    def after(self, row_id: int) -> list[AuditRecord]:
        """What was added since a row that was read before, oldest first."""
        with self._database.transaction() as session:
            rows = session.scalars(
                select(AuditEventRow).where(AuditEventRow.id > row_id).order_by(AuditEventRow.id).limit(_ROWS_AT_ONCE)
            )
            return [_record(row) for row in rows]

    def export(self, reader: str, since: datetime | None, study_instance_uid: str | None) -> Iterator[AuditRecord]:
        """Every row up to now that matches, in order; it is written down before the first of them is given out."""
        with self._database.transaction() as session:
            last = session.scalar(select(func.max(AuditEventRow.id))) or 0
            details: dict[str, str | int | float | None] = {"up_to_row": last}
            if since is not None:
                details["since"] = since.isoformat()
            append(
                session,
                AuditEvent(
                    AuditAction.AUDIT_EXPORTED, reader, study_instance_uid=study_instance_uid or "", details=details
                ),
            )
        return self._stream(last, since, study_instance_uid)

    def _stream(self, last: int, since: datetime | None, study_instance_uid: str | None) -> Iterator[AuditRecord]:
        wanted = select(AuditEventRow).where(AuditEventRow.id <= last).order_by(AuditEventRow.id)
        if since is not None:
            wanted = wanted.where(AuditEventRow.recorded_at >= since)
        if study_instance_uid is not None:
            wanted = wanted.where(AuditEventRow.study_instance_uid == study_instance_uid)
        with self._database.transaction() as session:
            for row in session.scalars(wanted, execution_options={"yield_per": _ROWS_AT_ONCE}):
                yield _record(row)


def _record(row: AuditEventRow) -> AuditRecord:
    return AuditRecord(
        id=row.id,
        recorded_at=row.recorded_at,
        action=row.action,
        actor=row.actor,
        outcome=row.outcome,
        study_instance_uid=row.study_instance_uid,
        job_id=row.job_id,
        details=row.details,
        row_hash=bytes(row.row_hash).hex(),
    )
