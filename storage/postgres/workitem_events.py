"""Events of workitems in rows, one for each subscriber, in the transaction that changes the workitem."""

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, literal, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.orm import Session

from storage.domain.workitem import DataSet, WorkitemState
from storage.domain.workitem_event import EventType, WorkitemEvent, events_of_change, state_report
from storage.postgres.engine import Database
from storage.postgres.workitem_search import matches
from storage.postgres.workitem_tables import (
    WorkitemEventRow,
    WorkitemRow,
    WorkitemSubscriberRow,
    WorkitemSubscriptionRow,
)

_MOST_AT_ONCE = 200
MOST_KEPT = 10_000  # events of one subscriber who is away; older ones go first


def subscribe_to_new(session: Session, row: WorkitemRow) -> None:
    """A workitem has been created: who subscribes to such ones is subscribed to it, and told of it."""
    for subscriber in session.scalars(
        select(WorkitemSubscriberRow).where(WorkitemSubscriberRow.worklist.is_not(None))
    ).all():
        wanted = matches(subscriber.keys) if subscriber.worklist == "filtered" else true()
        if session.scalar(select(WorkitemRow.id).where(WorkitemRow.id == row.id, wanted)) is None:
            continue
        session.execute(
            insert_or(WorkitemSubscriptionRow)
            .values(workitem_id=row.id, ae_title=subscriber.ae_title, deletion_lock=subscriber.deletion_lock)
            .on_conflict_do_nothing()
        )
    note(session, row, EventType.STATE_REPORT, state_report(WorkitemState(row.state), row.attributes))


def note_change(session: Session, row: WorkitemRow, state_before: str, attributes_before: DataSet) -> None:
    """Tell the subscribers of a workitem what has changed; nothing where nothing that they are told has."""
    states = WorkitemState(state_before), WorkitemState(row.state)
    for event_type, information in events_of_change(states, (attributes_before, row.attributes)):
        note(session, row, event_type, information)


def note_states(session: Session, rows: Sequence[WorkitemRow], ae_title: str) -> None:
    """Tell one subscriber where these workitems stand."""
    session.execute(
        insert(WorkitemEventRow),
        [
            {
                "ae_title": ae_title,
                "sop_instance_uid": row.sop_instance_uid,
                "event_type": int(EventType.STATE_REPORT),
                "information": state_report(WorkitemState(row.state), row.attributes),
            }
            for row in rows
        ],
    )


def note(session: Session, row: WorkitemRow, event_type: EventType, information: DataSet) -> int:
    """Write an event for each subscriber of a workitem; how many it were."""
    told = select(
        WorkitemSubscriptionRow.ae_title,
        literal(row.sop_instance_uid),
        literal(int(event_type)),
        literal(information, JSONB),
    ).where(WorkitemSubscriptionRow.workitem_id == row.id)
    columns = ["ae_title", "sop_instance_uid", "event_type", "information"]
    made = session.execute(insert(WorkitemEventRow).from_select(columns, told).returning(WorkitemEventRow.id))
    return len(made.all())


def unsent(session: Session, ae_title: str) -> list[WorkitemEvent]:
    """What a subscriber has not been told yet, in the order in which it happened."""
    rows = session.scalars(
        select(WorkitemEventRow)
        .where(WorkitemEventRow.ae_title == ae_title)
        .order_by(WorkitemEventRow.id)
        .limit(_MOST_AT_ONCE)
    )
    return [WorkitemEvent(row.id, row.sop_instance_uid, EventType(row.event_type), row.information) for row in rows]


def forget_events(database: Database, keep_seconds: float, most: int = MOST_KEPT) -> int:
    """Remove what a subscriber did not fetch in time, and subscribers that want nothing; how many events it were.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    with database.transaction() as session:
        limit = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep_seconds)
        old = session.execute(
            delete(WorkitemEventRow).where(WorkitemEventRow.happened_at < limit).returning(WorkitemEventRow.id)
        ).all()
        newest = func.row_number().over(partition_by=WorkitemEventRow.ae_title, order_by=WorkitemEventRow.id.desc())
        counted = select(WorkitemEventRow.id, newest.label("place")).subquery()
        too_many = select(counted.c.id).where(counted.c.place > most)
        session.execute(delete(WorkitemEventRow).where(WorkitemEventRow.id.in_(too_many)))
        subscribed = select(WorkitemSubscriptionRow.ae_title)
        session.execute(
            delete(WorkitemSubscriberRow).where(
                WorkitemSubscriberRow.seen_at < limit,
                WorkitemSubscriberRow.worklist.is_(None),
                WorkitemSubscriberRow.ae_title.not_in(subscribed),
            )
        )
        return len(old)
