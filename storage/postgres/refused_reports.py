"""Reports that were not believed: the first of an address is told at once, others are counted and told each hour."""

from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.commitment import Believed, ReceivedReport
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import RefusedReportRow

_ACTOR = "listener"
_KEPT_DAYS = 30


def refuse_report(session: Session, report: ReceivedReport, why: Believed, destination: str = "") -> Believed:
    """Nothing is changed; who tries to prove what he was not asked is worth a look, though not a row each time."""
    counted = {
        "remote_address": stored_text(report.remote_address),
        "why": str(why),
        "calling_ae_title": stored_text(report.calling_ae_title),
        "destination": destination,
        "objects": len(report.committed) + len(report.failures),
    }
    row = session.execute(statement("count_refused_report"), counted).one_or_none()
    if row is not None:
        _tell(session, row)
    return why


def tell_counted(database: Database) -> int:
    """Tell what was counted where the last telling is an hour ago; return how many rows.

    An address that has been silent for a month is forgotten: what it did stands in the audit trail.

    Raises:
        DatabaseUnavailable: nothing was written.
    """
    with database.transaction() as session:
        silent_since = func.now() - func.make_interval(0, 0, 0, _KEPT_DAYS)
        session.execute(
            delete(RefusedReportRow).where(RefusedReportRow.untold == 0, RefusedReportRow.told_at < silent_since)
        )
        rows = session.execute(statement("untold_refused_reports")).all()
        for row in rows:
            _tell(session, row)
        return len(rows)


def _tell(session: Session, row: Any) -> None:  # noqa: ANN401
    details: dict[str, str | int | float | None] = {
        "why": row.why,
        "calling_ae_title": row.calling_ae_title,
        "remote_address": row.remote_address,
        "objects": row.objects,
        "reports": row.told,
    }
    if row.destination:
        details["destination"] = row.destination
    append(
        session,
        AuditEvent(AuditAction.COMMITMENT_REPORT_REFUSED, _ACTOR, AuditOutcome.SERIOUS_FAILURE, details=details),
    )
