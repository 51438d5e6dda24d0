"""The worklist in rows: every request is one transaction that holds the row of its workitem."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.search import Found, Page
from storage.domain.workitem import (
    STATUSES,
    DataSet,
    NewWorkitem,
    Workitem,
    WorkitemPriority,
    WorkitemRefused,
    WorkitemRequest,
    WorkitemState,
    WorkitemStatus,
    answer_to,
    lock_told,
)
from storage.domain.workitem_attributes import (
    ATTRIBUTES,
    UNSPECIFIED,
    asked_of_us,
    canceled,
    first,
    items,
    missing_for_completion,
    study_of,
)
from storage.errors import WorklistFull
from storage.ports.workitems import CancelWish
from storage.postgres.audit_trail import append
from storage.postgres.engine import WORKLIST_LOCK, Database
from storage.postgres.workitem_search import matches
from storage.postgres.workitem_tables import WorkitemRow

_PRIORITY = ATTRIBUTES["ScheduledProcedureStepPriority"].tag
_REASON_CODE, _REASON = "0074100E", "00741238"


class PostgresWorklist:
    """Implements the port Worklist."""

    def __init__(self, database: Database, most: int) -> None:
        """``most`` workitems are held at a time."""
        self._database = database
        self._most = most

    def create(self, workitem: NewWorkitem, actor: str) -> None:
        """Put a new one on the worklist.

        Raises:
            WorkitemRefused: there is one of this UID.
            WorklistFull: there are as many as may be.
        """
        with self._database.transaction() as session:
            session.execute(select(func.pg_advisory_xact_lock(WORKLIST_LOCK)))
            if (session.scalar(select(func.count()).select_from(WorkitemRow)) or 0) >= self._most:
                raise WorklistFull
            made = session.execute(
                insert(WorkitemRow)
                .values(
                    sop_instance_uid=workitem.sop_instance_uid,
                    attributes=workitem.attributes,
                    created_by=actor,
                    **_derived(workitem.attributes),
                )
                .on_conflict_do_nothing(index_elements=["sop_instance_uid"])
                .returning(WorkitemRow.id)
            ).one_or_none()
            if made is None:
                raise WorkitemRefused(STATUSES[0x0111], "There is a workitem of this UID; use another UID.")
            row = _locked(session, workitem.sop_instance_uid)
            told(session, row, AuditAction.WORKITEM_CREATED, actor, priority=row.priority)

    def get(self, sop_instance_uid: str) -> Workitem:
        """One workitem. Raises WorkitemRefused."""
        with self._database.transaction() as session:
            row = session.scalar(select(WorkitemRow).where(WorkitemRow.sop_instance_uid == sop_instance_uid))
            if row is None:
                raise _unknown()
            return _shown(row)

    def search(self, keys: Mapping[str, Sequence[str]], page: Page) -> Found[Workitem]:
        """Those that match, the most urgent first and of these the oldest."""
        condition = matches(keys)
        urgency = case({str(word): rank for rank, word in enumerate(WorkitemPriority)}, value=WorkitemRow.priority)
        with self._database.transaction() as session:
            total = session.scalar(select(func.count()).select_from(WorkitemRow).where(condition)) or 0
            rows = session.scalars(
                select(WorkitemRow)
                .where(condition)
                .order_by(urgency, WorkitemRow.id)
                .limit(page.limit)
                .offset(page.offset)
            )
            return Found(tuple(_shown(row) for row in rows), total)

    def update(self, sop_instance_uid: str, changes: DataSet, transaction_uid: str, actor: str) -> WorkitemStatus:
        """Replace attributes; a sequence as a whole (PS3.18 section 11.6). Raises WorkitemRefused."""
        with self._database.transaction() as session:
            row = _locked(session, sop_instance_uid)
            _, status = _answer(row, WorkitemRequest.UPDATE, transaction_uid)
            _set(session, row, attributes=row.attributes | changes)
            told(session, row, AuditAction.WORKITEM_UPDATED, actor)
            return status

    def change_state(
        self, sop_instance_uid: str, request: WorkitemRequest, transaction_uid: str, actor: str
    ) -> WorkitemStatus:
        """Claim, complete or cancel. Raises WorkitemRefused, also where the final state wants more (0xC304)."""
        with self._database.transaction() as session:
            row = _locked(session, sop_instance_uid)
            after, status = _answer(row, request, transaction_uid)
            if status.code:  # it is so already
                return status
            if after is WorkitemState.IN_PROGRESS:
                claim(session, row, transaction_uid, actor)
            elif after is WorkitemState.COMPLETED:
                complete(session, row, actor)
            else:
                cancel(session, row, UNSPECIFIED, "", actor)
            return status

    def request_cancel(self, sop_instance_uid: str, wish: CancelWish, actor: str) -> WorkitemStatus:
        """Cancel what nobody has begun; of what is in progress tell its performer (PS3.18 section 11.8).

        Raises:
            WorkitemRefused: it has been completed, or its performer cannot be told.
        """
        with self._database.transaction() as session:
            row = _locked(session, sop_instance_uid)
            after, status = _answer(row, WorkitemRequest.REQUEST_CANCEL, "")
            if status.code:
                return status
            if after is not WorkitemState.CANCELED:
                raise WorkitemRefused(
                    STATUSES[0xC312], "Its performer cannot be told; it is canceled by who claimed it only."
                )
            claim(session, row, own_lock(), actor)
            reason = next(items(wish.told, _REASON_CODE), UNSPECIFIED)
            cancel(session, row, reason, str(first(wish.told, _REASON) or ""), actor)
            return status


def own_lock() -> str:
    """A Transaction UID for what we claim ourselves (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def claim(session: Session, row: WorkitemRow, transaction_uid: str, actor: str) -> None:
    """From SCHEDULED to IN PROGRESS; who knows this UID performs it."""
    _set(
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
    _set(session, row, state=str(WorkitemState.COMPLETED), ended_at=func.now())
    told(session, row, AuditAction.WORKITEM_COMPLETED, actor)


def cancel(session: Session, row: WorkitemRow, reason: DataSet, sentence: str, actor: str) -> None:
    """From IN PROGRESS to CANCELED; the reason is kept where its performer told none (CID 9300)."""
    attributes = canceled(row.attributes, database_time(session), reason, sentence)
    _set(session, row, state=str(WorkitemState.CANCELED), ended_at=func.now(), attributes=attributes)
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


def _locked(session: Session, sop_instance_uid: str) -> WorkitemRow:
    row = session.scalar(select(WorkitemRow).where(WorkitemRow.sop_instance_uid == sop_instance_uid).with_for_update())
    if row is None:
        raise _unknown()
    return row


def _answer(row: WorkitemRow, request: WorkitemRequest, transaction_uid: str) -> tuple[WorkitemState, WorkitemStatus]:
    return answer_to(request, lock_told(transaction_uid, row.transaction_uid), WorkitemState(row.state))


def _set(session: Session, row: WorkitemRow, **values: Any) -> None:  # noqa: ANN401 - values of the row's columns
    if "attributes" in values and row.state == WorkitemState.SCHEDULED:
        values |= _derived(values["attributes"])
    session.execute(update(WorkitemRow).where(WorkitemRow.id == row.id).values(changed_at=func.now(), **values))
    session.refresh(row)


def _derived(attributes: DataSet) -> dict[str, Any]:
    """What has a column of its own beside the attributes; it is what we act on."""
    asked = asked_of_us(attributes)
    return {
        "priority": str(first(attributes, _PRIORITY)),
        "study_instance_uid": study_of(attributes),
        "algorithms": list(asked.algorithms),
        "algorithm_version": asked.version,
    }


def _shown(row: WorkitemRow) -> Workitem:
    return Workitem(row.sop_instance_uid, WorkitemState(row.state), row.attributes, row.changed_at)


def _unknown() -> WorkitemRefused:
    return WorkitemRefused(STATUSES[0xC307], "There is no such workitem here.")
