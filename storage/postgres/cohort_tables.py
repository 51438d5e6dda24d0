"""The tables of cohorts."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.cohort import REASONED, MemberState
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, listed, one_of


class CohortRow(Base):
    """An algorithm over many studies of the past; what it is never changes."""

    __tablename__ = "cohort"

    id: Mapped[RowId]
    name: Mapped[str] = mapped_column(unique=True)
    archive: Mapped[str]
    query: Mapped[str]
    algorithm_id: Mapped[Big] = mapped_column(ForeignKey("algorithm.id"))
    deliver: Mapped[bool]
    asked_by: Mapped[str]
    created_at: Mapped[DatabaseTime]
    listed_at: Mapped[datetime | None]  # when all its studies were known
    canceled_at: Mapped[datetime | None]


class CohortMemberRow(Base):
    """One study of a cohort; it refers to no study, because that may still have to be fetched."""

    __tablename__ = "cohort_member"
    __table_args__ = (
        one_of("state", MemberState),
        CheckConstraint("num_nonnulls(reason_code, reason_sentence) IN (0, 2)", name="reason_is_whole"),
        CheckConstraint(f"(state IN ({listed(REASONED)})) = (reason_code IS NOT NULL)", name="no_silent_end"),
        CheckConstraint(
            "state NOT IN ('analysing', 'analysed', 'not-analysed') OR job_id IS NOT NULL", name="has_its_job"
        ),
        Index("cohort_member_by_state", "cohort_id", "state", "study_instance_uid"),
        Index("cohort_member_of_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    )

    cohort_id: Mapped[Big] = mapped_column(ForeignKey("cohort.id"), primary_key=True, autoincrement=False)
    study_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    job_id: Mapped[Big | None] = mapped_column(ForeignKey("job.id"))
    reason_code: Mapped[str | None]
    reason_sentence: Mapped[str | None]
    changed_at: Mapped[DatabaseTime]
