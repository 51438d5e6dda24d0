"""The table of verdicts on our results."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.feedback import SPOKEN, FeedbackSource, Verdict
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
