"""The table of priors that routes ask for."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.prior_request import PriorRequestState
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, one_of


class PriorRequestRow(Base):
    """Priors of a study's patient that its route asks for, once for each archive and kind of study."""

    __tablename__ = "prior_request"
    __table_args__ = (
        UniqueConstraint("study_id", "archive", "modality", "body_part"),
        one_of("state", PriorRequestState),
        CheckConstraint("attempt >= 0 AND most > 0 AND within_days > 0", name="numbers_count_up"),
        CheckConstraint("(state = 'waiting') = (ended_at IS NULL)", name="ended_when_not_waiting"),
        CheckConstraint("state = 'waiting' OR note <> ''", name="no_silent_end"),
        Index("prior_request_due", "archive", "due_at", postgresql_where=text("state = 'waiting'")),
    )

    id: Mapped[RowId]
    study_id: Mapped[Big] = mapped_column(ForeignKey("study.id"))
    archive: Mapped[str]
    modality: Mapped[str]
    body_part: Mapped[str]
    most: Mapped[int]
    within_days: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    asked_at: Mapped[DatabaseTime]
    due_at: Mapped[DatabaseTime]
    ended_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(server_default=text("''"))  # what came, or why the latest attempt did not
