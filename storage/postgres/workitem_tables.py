"""The tables of the worklist (UPS)."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.workitem import FINAL_STATES, WorkitemPriority, WorkitemState
from storage.postgres.table_base import Base, Big, DatabaseTime, Json, RowId, listed, one_of


class WorkitemRow(Base):
    """One Unified Procedure Step; the trigger `workitem_follows_steps` has the steps that its state may take.

    `attributes` are in the DICOM JSON Model, without what has a column. `algorithms` are those of ours that it names;
    where it names none, others perform it. `transaction_uid` is the lock and is shown to nobody. `changed_at` is also
    its Scheduled Procedure Step Modification DateTime.
    """

    __tablename__ = "workitem"
    __table_args__ = (
        one_of("state", WorkitemState),
        one_of("priority", WorkitemPriority),
        CheckConstraint("(state = 'SCHEDULED') = (transaction_uid IS NULL)", name="locked_once_claimed"),
        CheckConstraint("(state = 'SCHEDULED') = (claimed_at IS NULL)", name="claimed_at_a_time"),
        CheckConstraint(
            f"(state IN ({listed(sorted(FINAL_STATES))})) = (ended_at IS NOT NULL)", name="ended_when_final"
        ),
        # What is ours to do, and what may be removed; the rest is searched by whoever asks.
        Index(
            "workitem_ours",
            "state",
            "id",
            postgresql_where=text("ended_at IS NULL AND cardinality(algorithms) > 0"),
        ),
        Index("workitem_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("workitem_of_study", "study_instance_uid"),
    )

    id: Mapped[RowId]
    sop_instance_uid: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default=text("'SCHEDULED'"))
    priority: Mapped[str]
    transaction_uid: Mapped[str | None]
    attributes: Mapped[Json]
    study_instance_uid: Mapped[str] = mapped_column(server_default=text("''"))
    algorithms: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    algorithm_version: Mapped[str] = mapped_column(server_default=text("''"))
    created_by: Mapped[str]
    created_at: Mapped[DatabaseTime]
    changed_at: Mapped[DatabaseTime]
    claimed_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class WorkitemJobRow(Base):
    """One algorithm of a workitem of ours, and the job that performs it; what that is resubmitted as counts after it.

    A job that was not `made` for the workitem was there before, and goes on when the workitem is canceled.
    """

    __tablename__ = "workitem_job"
    __table_args__ = (Index("workitem_job_of_job", "job_id"),)

    workitem_id: Mapped[Big] = mapped_column(
        ForeignKey("workitem.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    algorithm: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[Big] = mapped_column(ForeignKey("job.id"))
    made: Mapped[bool]


class WorkitemSubscriberRow(Base):
    """Who is told of workitems, by its AE title, which is that of the account that came with it first.

    `worklist` says that it subscribes to new workitems too, all of them or those that match `keys`.
    """

    __tablename__ = "workitem_subscriber"
    __table_args__ = (one_of("worklist", ("global", "filtered")),)

    ae_title: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str]
    worklist: Mapped[str | None]
    keys: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    deletion_lock: Mapped[bool] = mapped_column(server_default=text("false"))
    seen_at: Mapped[DatabaseTime]


class WorkitemSubscriptionRow(Base):
    """One subscriber to one workitem; one that is locked is not removed."""

    __tablename__ = "workitem_subscription"
    __table_args__ = (Index("workitem_subscription_of_subscriber", "ae_title"),)

    workitem_id: Mapped[Big] = mapped_column(
        ForeignKey("workitem.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    ae_title: Mapped[str] = mapped_column(
        ForeignKey("workitem_subscriber.ae_title", ondelete="CASCADE"), primary_key=True
    )
    deletion_lock: Mapped[bool]


class WorkitemEventRow(Base):
    """One event for one subscriber that has not been sent yet; what is sent is gone."""

    __tablename__ = "workitem_event"
    __table_args__ = (
        CheckConstraint("event_type IN (1, 2, 3, 5)", name="event_type_known"),
        Index("workitem_event_of_subscriber", "ae_title", "id"),
        Index("workitem_event_oldest", "happened_at"),
    )

    id: Mapped[RowId]
    ae_title: Mapped[str] = mapped_column(ForeignKey("workitem_subscriber.ae_title", ondelete="CASCADE"))
    sop_instance_uid: Mapped[str]
    event_type: Mapped[int] = mapped_column(SmallInteger)
    information: Mapped[Json]
    happened_at: Mapped[DatabaseTime]
