"""Who is told of workitems (PS3.4 section CC.2.3), in rows."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, func, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.workitem import STATUSES, WorkitemRefused
from storage.domain.workitem_event import (
    FILTERED_UID,
    WORKLIST_UID,
    WorkitemEvent,
)
from storage.errors import SubscriberOfAnother, WorklistFull
from storage.postgres.audit_trail import append
from storage.postgres.engine import WORKLIST_LOCK, Database
from storage.postgres.workitem_events import note_states, unsent
from storage.postgres.workitem_search import matches
from storage.postgres.workitem_tables import (
    WorkitemEventRow,
    WorkitemRow,
    WorkitemSubscriberRow,
    WorkitemSubscriptionRow,
)

_MOST_OF_ONE = 20  # AE titles, so that no account takes the places of all others
_AT_ONCE = 50  # workitems that are told of in one statement
_WORKLISTS = {WORKLIST_UID: "global", FILTERED_UID: "filtered"}


class PostgresSubscriptions:
    """Implements the port Subscriptions."""

    def __init__(self, database: Database, most: int) -> None:
        """``most`` subscribers are held at a time."""
        self._database = database
        self._most = most

    def subscribe(
        self,
        target: str,
        ae_title: str,
        account: str,
        *,
        deletion_lock: bool,
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Tell an AE of a workitem, or of the worklist, from now on; it is told at once where each of them stands.

        Raises:
            WorkitemRefused: there is no such workitem.
            SubscriberOfAnother: the AE title came with another account.
            WorklistFull: there are as many subscribers as may be, or the account has as many.
        """
        with self._database.transaction() as session:
            self._known(session, ae_title, account)
            worklist = _WORKLISTS.get(target)
            if worklist is None:
                wanted = WorkitemRow.id == _workitem(session, target).id
            else:
                wanted = matches(keys or {}) if worklist == "filtered" else true()
                session.execute(
                    update(WorkitemSubscriberRow)
                    .where(WorkitemSubscriberRow.ae_title == ae_title)
                    .values(worklist=worklist, keys=dict(keys or {}), deletion_lock=deletion_lock)
                )
            _subscribe(session, wanted, ae_title, deletion_lock, anew=worklist is None)
            _audit(session, AuditAction.WORKITEM_SUBSCRIBED, account, ae_title, target)

    def unsubscribe(self, target: str, ae_title: str, account: str) -> None:
        """Tell an AE no more of a workitem; or, where the worklist is named, of any. Raises as ``subscribe``."""
        with self._database.transaction() as session:
            self._known(session, ae_title, account)
            ended = delete(WorkitemSubscriptionRow).where(WorkitemSubscriptionRow.ae_title == ae_title)
            if target in _WORKLISTS:
                self._suspend(session, ae_title)
            else:
                ended = ended.where(WorkitemSubscriptionRow.workitem_id == _workitem(session, target).id)
            session.execute(ended)
            _audit(session, AuditAction.WORKITEM_UNSUBSCRIBED, account, ae_title, target)

    def suspend(self, ae_title: str, account: str) -> None:
        """Tell an AE of no further new workitems; what it is subscribed to stays. Raises as ``subscribe``."""
        with self._database.transaction() as session:
            self._known(session, ae_title, account)
            self._suspend(session, ae_title)

    def open(self, ae_title: str, account: str) -> None:
        """An AE is there to be told; it may subscribe later. Raises as ``subscribe``."""
        with self._database.transaction() as session:
            self._known(session, ae_title, account)

    def events(self, ae_title: str) -> list[WorkitemEvent]:
        """What it has not been told yet, in the order in which it happened; some of it where it is much."""
        with self._database.transaction() as session:
            return unsent(session, ae_title)

    def sent(self, ae_title: str, event_ids: Sequence[int]) -> None:
        """These have been sent, so they are not kept any longer."""
        with self._database.transaction() as session:
            session.execute(
                delete(WorkitemEventRow).where(
                    WorkitemEventRow.ae_title == ae_title, WorkitemEventRow.id.in_(event_ids)
                )
            )

    def _known(self, session: Session, ae_title: str, account: str) -> None:
        """Have a row of the subscriber, and know that it is this account's."""
        session.execute(select(func.pg_advisory_xact_lock(WORKLIST_LOCK)))
        row = session.scalar(select(WorkitemSubscriberRow).where(WorkitemSubscriberRow.ae_title == ae_title))
        if row is None:
            held = session.scalars(select(WorkitemSubscriberRow.account)).all()
            if len(held) >= self._most or held.count(account) >= _MOST_OF_ONE:
                raise WorklistFull
            session.execute(insert(WorkitemSubscriberRow).values(ae_title=ae_title, account=account))
        elif row.account != account:
            raise SubscriberOfAnother
        else:
            row.seen_at = func.now()

    def _suspend(self, session: Session, ae_title: str) -> None:
        session.execute(
            update(WorkitemSubscriberRow)
            .where(WorkitemSubscriberRow.ae_title == ae_title)
            .values(worklist=None, keys={}, deletion_lock=False)
        )


def _subscribe(
    session: Session, wanted: ColumnElement[bool], ae_title: str, deletion_lock: bool, *, anew: bool
) -> None:
    """Subscribe to workitems; of one that it subscribes to already only a request of its own changes the lock.

    Creations wait meanwhile, and there may be very many, so that no statement is about one of them only.
    """
    chosen = select(WorkitemRow.id, literal(ae_title), literal(deletion_lock)).where(wanted)
    made = insert(WorkitemSubscriptionRow).from_select(["workitem_id", "ae_title", "deletion_lock"], chosen)
    if anew:
        made = made.on_conflict_do_update(
            index_elements=["workitem_id", "ae_title"], set_={"deletion_lock": deletion_lock}
        )
    else:
        made = made.on_conflict_do_nothing()
    new = sorted(session.scalars(made.returning(WorkitemSubscriptionRow.workitem_id)))
    for start in range(0, len(new), _AT_ONCE):
        rows = select(WorkitemRow).where(WorkitemRow.id.in_(new[start : start + _AT_ONCE])).order_by(WorkitemRow.id)
        note_states(session, session.scalars(rows).all(), ae_title)
        session.expunge_all()  # their attributes may be large


def _workitem(session: Session, sop_instance_uid: str) -> WorkitemRow:
    row = session.scalar(select(WorkitemRow).where(WorkitemRow.sop_instance_uid == sop_instance_uid))
    if row is None:
        raise WorkitemRefused(STATUSES[0xC307], "There is no such workitem here.")
    return row


def _audit(session: Session, action: AuditAction, account: str, ae_title: str, target: str) -> None:
    details: dict[str, str | int | float | None] = {"ae_title": ae_title, "workitem": target}
    append(session, AuditEvent(action, account, details=details))
