"""The steps of a workitem whose row the caller has locked; each writes its audit row beside it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.workitem import STATUSES, DataSet, WorkitemRefused, WorkitemState
from storage.domain.workitem_attributes import (
    ATTRIBUTES,
    asked_of_us,
    canceled,
    first,
    missing_for_completion,
    study_of,
)
from storage.postgres.audit_trail import append
from storage.postgres.workitem_events import note_change
from storage.postgres.workitem_tables import WorkitemRow

_PRIORITY = ATTRIBUTES["ScheduledProcedureStepPriority"].tag


def own_lock() -> str:
    """A Transaction UID for what we claim ourselves (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def claim(session: Session, row: WorkitemRow, transaction_uid: str, actor: str) -> None:
    """From SCHEDULED to IN PROGRESS; who knows this UID performs it."""
    change(
        session,
        row,
        state=str(WorkitemState.IN_PROGRESS),
        transaction_uid=transaction_uid,
        claimed_at=func.now(),
    )
    told(session, row, AuditAction.WORKITEM_CLAIMED, actor)


def complete(session: Session, row: WorkitemRow, actor: str) -> None:
    """From IN PROGRESS to COMPLETED.

    Raises:
        WorkitemRefused: what the Standard wants of a completed one is not there (0xC304).
    """
    lacking = missing_for_completion(row.attributes)
    if lacking:
        raise WorkitemRefused(STATUSES[0xC304], f"The workitem lacks {', '.join(lacking)}; update it first.")
    change(session, row, state=str(WorkitemState.COMPLETED), ended_at=func.now())
    told(session, row, AuditAction.WORKITEM_COMPLETED, actor)


def cancel(session: Session, row: WorkitemRow, reason: DataSet, sentence: str, actor: str) -> None:
    """From IN PROGRESS to CANCELED; the reason is kept where its performer told none (CID 9300)."""
    attributes = canceled(row.attributes, database_time(session), reason, sentence)
    change(session, row, state=str(WorkitemState.CANCELED), ended_at=func.now(), attributes=attributes)
    told(session, row, AuditAction.WORKITEM_CANCELED, actor)


def database_time(session: Session) -> datetime:
    """The time of this transaction on the database's clock."""
    moment: datetime = session.execute(select(func.now())).scalar_one()
    return moment


def told(session: Session, row: WorkitemRow, action: AuditAction, actor: str, **details: str) -> None:
    """The row of the audit trail: which workitem of which study, and never what it says of a patient."""
    named: dict[str, str | int | float | None] = {"workitem": row.sop_instance_uid, **details}
    if row.algorithms:
        named["algorithms"] = ", ".join(row.algorithms)
    append(session, AuditEvent(action, actor, study_instance_uid=row.study_instance_uid, details=named))


def set_attributes(session: Session, row: WorkitemRow, attributes: DataSet) -> None:
    """Replace what it says."""
    change(session, row, attributes=attributes)


def change(session: Session, row: WorkitemRow, **values: Any) -> None:  # noqa: ANN401 - values of the row's columns
    """Write columns of the row, and what follows from its attributes until it is claimed."""
    before = row.state, row.attributes
    if "attributes" in values and row.state == WorkitemState.SCHEDULED:
        values |= derived(values["attributes"])
    session.execute(update(WorkitemRow).where(WorkitemRow.id == row.id).values(changed_at=func.now(), **values))
    session.refresh(row)
    note_change(session, row, *before)


def derived(attributes: DataSet) -> dict[str, Any]:
    """What has a column of its own beside the attributes; it is what we act on."""
    asked = asked_of_us(attributes)
    return {
        "priority": str(first(attributes, _PRIORITY)),
        "study_instance_uid": study_of(attributes),
        "algorithms": list(asked.algorithms),
        "algorithm_version": asked.version,
    }
