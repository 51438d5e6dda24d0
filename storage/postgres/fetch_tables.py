"""The table of fetches from archives."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.fetch import FetchOutcome, FetchPurpose
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, one_of


class StudyFetchRow(Base):
    """One fetch of a study from an archive, written before anything comes; it refers to nothing, as the study may lack.

    ``sop_instance_uids`` are the instances that were asked for. A study that holds nothing but what was fetched as
    context is not analysed by itself.
    """

    __tablename__ = "study_fetch"
    __table_args__ = (
        one_of("purpose", FetchPurpose),
        one_of("outcome", FetchOutcome),
        CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_with_an_outcome"),
        CheckConstraint("num_nonnulls(listed, held, new) IN (0, 3)", name="counted_whole"),
        CheckConstraint("num_nonnulls(reason_code, reason_sentence) IN (0, 2)", name="reason_is_whole"),
        CheckConstraint("outcome = 'complete' OR outcome IS NULL OR reason_code IS NOT NULL", name="no_silent_end"),
        Index("study_fetch_of_study", "study_instance_uid"),
    )

    id: Mapped[RowId]
    study_instance_uid: Mapped[str]
    archive: Mapped[str]
    retrieve: Mapped[str]
    purpose: Mapped[str]
    asked_by: Mapped[str]
    sop_instance_uids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    begun_at: Mapped[DatabaseTime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    listed: Mapped[Big | None]
    held: Mapped[Big | None]
    new: Mapped[Big | None]
    reason_code: Mapped[str | None]
    reason_sentence: Mapped[str | None]
