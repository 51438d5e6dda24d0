"""The tables of the worklist (UPS)."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, text
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
