"""The tables of verdicts on our results, and of objects that came back and may hold one."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.feedback import SPOKEN, FeedbackSource, Verdict
from storage.domain.returned_object import ReturnedOutcome
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, listed, one_of


class FeedbackRow(Base):
    """One verdict; rows are only added, and the newest on a finding counts.

    `tracking_uid` is empty where the result has no finding. `sop_instance_uid` is that of the object that said it.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        one_of("verdict", Verdict),
        one_of("source", FeedbackSource),
        CheckConstraint(f"(source IN ({listed(sorted(SPOKEN))})) = (sop_instance_uid = '')", name="objects_are_named"),
        Index("feedback_of_finding", "result_id", "tracking_uid", "id"),
    )

    id: Mapped[RowId]
    result_id: Mapped[Big] = mapped_column(ForeignKey("result.id"))
    tracking_uid: Mapped[str]
    verdict: Mapped[str]
    source: Mapped[str]
    sop_instance_uid: Mapped[str]
    actor: Mapped[str]
    recorded_at: Mapped[DatabaseTime]


class ReturnedObjectRow(Base):
    """One object about images that came in, to be looked at once; a trigger on `instance` makes the row.

    While `outcome` is empty it waits, or somebody who claimed it at `claimed_at` looks at it.
    """

    __tablename__ = "returned_object"
    __table_args__ = (
        one_of("outcome", ReturnedOutcome),
        CheckConstraint("(outcome IS NULL) = (looked_at IS NULL)", name="looked_at_a_time"),
        Index("returned_object_waiting", "instance_id", postgresql_where=text("outcome IS NULL")),
    )

    instance_id: Mapped[Big] = mapped_column(ForeignKey("instance.id"), primary_key=True, autoincrement=False)
    looks: Mapped[int] = mapped_column(server_default=text("0"))
    claimed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    looked_at: Mapped[datetime | None]
