"""The tables of what other systems than a PACS are told."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.notification import ENDED_BADLY, NotificationState
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, Token, listed, one_of


class NotificationReceiverRow(Base):
    """A [[notify]] entry, by its name: since when it is told, and how it answers.

    Results stored before `since` are none of its. Every result up to `looked_to` is decided. It is left alone until
    `hold_until`, after `failures` in a row that were its own.
    """

    __tablename__ = "notification_receiver"

    name: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[DatabaseTime]
    looked_to: Mapped[Big] = mapped_column(server_default=text("0"))
    removed_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    hold_until: Mapped[DatabaseTime]


class NotificationRow(Base):
    """One result and one receiver that is to be told of it.

    `claim_uid` is of the process that sends it and fences what becomes of it. `body` is what is sent, made once, so
    that each try repeats its bytes; it is forgotten once it was taken, because it may name a patient.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("receiver", "result_id"),
        one_of("state", NotificationState),
        CheckConstraint("(state = 'sending') = (claim_uid IS NOT NULL)", name="claimed_while_sending"),
        CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at_a_time"),
        CheckConstraint("state <> 'delivered' OR body IS NULL", name="keeps_no_body"),
        CheckConstraint("num_nonnulls(reason_code, reason_sentence) IN (0, 2)", name="reason_is_whole"),
        CheckConstraint(
            f"state NOT IN ({listed(sorted(ENDED_BADLY))}) OR reason_code IS NOT NULL", name="no_silent_end"
        ),
        Index(
            "notification_due",
            "receiver",
            "due_at",
            "id",
            postgresql_where=text("state IN ('waiting', 'sending')"),
        ),
        Index("notification_held", "receiver", "result_id", postgresql_where=text("state = 'held'")),
        Index("notification_open", "receiver", "noted_at", postgresql_where=text("state <> 'delivered'")),
        Index("notification_of_result", "result_id"),
    )

    id: Mapped[RowId]
    receiver: Mapped[str]
    result_id: Mapped[Big] = mapped_column(ForeignKey("result.id"))
    message_uid: Mapped[Token] = mapped_column(server_default=func.gen_random_uuid())
    state: Mapped[str]
    noted_at: Mapped[DatabaseTime]
    owed_since: Mapped[DatabaseTime]  # since the report arrived, or an operator wanted it sent
    due_at: Mapped[DatabaseTime]
    claim_uid: Mapped[Token | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"))  # since `owed_since`
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    reason_code: Mapped[str | None]
    reason_sentence: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
