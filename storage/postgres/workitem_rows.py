"""The worklist in rows: every request is one transaction that holds the row of its workitem."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Text, and_, case, cast, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction
from storage.domain.search import Found, Page
from storage.domain.workitem import (
    STATUSES,
    SUCCESS,
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
from storage.domain.workitem_attributes import UNSPECIFIED, first, items
from storage.domain.workitem_event import EventType, cancel_requested
from storage.errors import WorklistFull
from storage.ports.workitems import CancelWish
from storage.postgres.engine import WORKLIST_LOCK, Database
from storage.postgres.workitem_changes import cancel, claim, complete, derived, own_lock, set_attributes, told
from storage.postgres.workitem_events import note, subscribe_to_new
from storage.postgres.workitem_performance import cancel_jobs, follow, jobs_of
from storage.postgres.workitem_search import matches
from storage.postgres.workitem_tables import WorkitemRow, WorkitemSubscriptionRow

_MOST_BYTES = 16 * 1024 * 1024
_AT_ONCE = 25
_REASON_CODE, _REASON = "0074100E", "00741238"


class PostgresWorklist:
    """Implements the port Worklist."""

    def __init__(self, database: Database, most: int, most_bytes: int = _MOST_BYTES) -> None:
        """``most`` workitems are held at a time; a page of a search ends after ``most_bytes`` of JSON."""
        self._database = database
        self._most = most
        self._most_bytes = most_bytes

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
                    **derived(workitem.attributes),
                )
                .on_conflict_do_nothing(index_elements=["sop_instance_uid"])
                .returning(WorkitemRow.id)
            ).one_or_none()
            if made is None:
                raise WorkitemRefused(STATUSES[0x0111], "There is a workitem of this UID; use another UID.")
            row = _locked(session, workitem.sop_instance_uid)
            subscribe_to_new(session, row)
            told(session, row, AuditAction.WORKITEM_CREATED, actor, priority=row.priority)

    def get(self, sop_instance_uid: str) -> Workitem:
        """One workitem. Raises WorkitemRefused."""
        with self._database.transaction() as session:
            row = session.scalar(select(WorkitemRow).where(WorkitemRow.sop_instance_uid == sop_instance_uid))
            if row is None:
                raise _unknown()
            return _shown(row)

    def search(self, keys: Mapping[str, Sequence[str]], page: Page) -> Found[Workitem]:
        """Those that match, the most urgent first and of these the oldest; fewer where they are large."""
        condition = matches(keys)
        urgency = case({str(word): rank for rank, word in enumerate(WorkitemPriority)}, value=WorkitemRow.priority)
        with self._database.transaction() as session:
            total = session.scalar(select(func.count()).select_from(WorkitemRow).where(condition)) or 0
            ids = session.scalars(
                select(WorkitemRow.id)
                .where(condition)
                .order_by(urgency, WorkitemRow.id)
                .limit(page.limit)
                .offset(page.offset)
            ).all()
            return Found(tuple(_shown(row) for row in self._within_bytes(session, ids)), total)

    def _within_bytes(self, session: Session, ids: Sequence[int]) -> Iterator[WorkitemRow]:
        """The rows in this order, until they are too much to answer with; the first one always."""
        size, left = func.octet_length(cast(WorkitemRow.attributes, Text)), self._most_bytes
        for part in (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)):
            wanted = select(WorkitemRow, size).where(WorkitemRow.id.in_(part))
            found = {row.id: (row, taken) for row, taken in session.execute(wanted)}
            for row, taken in (found[workitem_id] for workitem_id in part if workitem_id in found):
                if left <= 0:
                    return
                left -= taken
                yield row

    def update(self, sop_instance_uid: str, changes: DataSet, transaction_uid: str, actor: str) -> WorkitemStatus:
        """Replace attributes; a sequence as a whole (PS3.18 section 11.6). Raises WorkitemRefused."""
        with self._database.transaction() as session:
            row = _locked(session, sop_instance_uid)
            _, status = _answer(row, WorkitemRequest.UPDATE, transaction_uid)
            set_attributes(session, row, row.attributes | changes)
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
                return self._tell_performer(session, row, wish, actor)
            claim(session, row, own_lock(), actor)
            _canceled_as_told(session, row, wish, actor)
            return status

    def _tell_performer(self, session: Session, row: WorkitemRow, wish: CancelWish, actor: str) -> WorkitemStatus:
        """Ours is canceled at once, unless it has just ended; another's is told if he, or anybody, has subscribed."""
        heard = note(session, row, EventType.CANCEL_REQUESTED, cancel_requested(actor, wish.told))
        told(session, row, AuditAction.WORKITEM_CANCEL_REQUESTED, actor)
        if not jobs_of(session, row):
            if heard:
                return SUCCESS
            raise WorkitemRefused(
                STATUSES[0xC312], "Its performer cannot be told; it is canceled by who claimed it only."
            )
        follow(session, row)
        after, status = _answer(row, WorkitemRequest.REQUEST_CANCEL, "")
        if after is WorkitemState.IN_PROGRESS:
            cancel_jobs(session, row, actor)
            _canceled_as_told(session, row, wish, actor)
        return status


def _canceled_as_told(session: Session, row: WorkitemRow, wish: CancelWish, actor: str) -> None:
    reason = next(items(wish.told, _REASON_CODE), UNSPECIFIED)
    cancel(session, row, reason, str(first(wish.told, _REASON) or ""), actor)


def _locked(session: Session, sop_instance_uid: str) -> WorkitemRow:
    row = session.scalar(select(WorkitemRow).where(WorkitemRow.sop_instance_uid == sop_instance_uid).with_for_update())
    if row is None:
        raise _unknown()
    return row


def _answer(row: WorkitemRow, request: WorkitemRequest, transaction_uid: str) -> tuple[WorkitemState, WorkitemStatus]:
    return answer_to(request, lock_told(transaction_uid, row.transaction_uid), WorkitemState(row.state))


def _shown(row: WorkitemRow) -> Workitem:
    return Workitem(
        row.sop_instance_uid, WorkitemState(row.state), row.attributes, row.changed_at, bool(row.algorithms)
    )


def _unknown() -> WorkitemRefused:
    return WorkitemRefused(STATUSES[0xC307], "There is no such workitem here.")


def forget_ended(database: Database, keep_seconds: float) -> int:
    """Remove the workitems that ended longer ago than this; how many.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    with database.transaction() as session:
        old = WorkitemRow.ended_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep_seconds)
        locked = select(WorkitemSubscriptionRow.workitem_id).where(WorkitemSubscriptionRow.deletion_lock)
        old = and_(old, WorkitemRow.id.not_in(locked))
        return len(session.execute(delete(WorkitemRow).where(old).returning(WorkitemRow.id)).all())
