"""The tables of proof of arrival beside `delivery`."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.commitment import Believed
from storage.domain.proof import ProofState, ProofWay
from storage.postgres.table_base import Base, Big, DatabaseTime, one_of


class ProofTransitionRow(Base):
    """The states of a proof as rows, so that the trigger on `delivery_proof` and an administrator can read them."""

    __tablename__ = "proof_transition"

    from_state: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    to_state: Mapped[str]


class DeliveryProofRow(Base):
    """Whether a destination still has one object that it acknowledged; where none is asked for, there is no row.

    `request_uid` is that of the latest question and fences its answers. `note` is the latest sentence for an operator.
    """

    __tablename__ = "delivery_proof"
    __table_args__ = (
        one_of("state", ProofState),
        one_of("way", [way for way in ProofWay if way is not ProofWay.NONE]),
        CheckConstraint("(state = 'proven') = (proven_at IS NOT NULL)", name="proven_at_a_time"),
        CheckConstraint("state <> 'asked' OR request_uid IS NOT NULL", name="asked_by_a_request"),
        CheckConstraint("state <> 'unproven' OR note <> ''", name="no_silent_end"),
        Index(
            "delivery_proof_due",
            "destination",
            "due_at",
            "delivery_id",
            postgresql_where=text("state IN ('owed', 'asked')"),
        ),
        Index("delivery_proof_open", "destination", "since", postgresql_where=text("state <> 'proven'")),
    )

    delivery_id: Mapped[Big] = mapped_column(ForeignKey("delivery.id"), primary_key=True, autoincrement=False)
    destination: Mapped[str]
    way: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'owed'"))
    since: Mapped[DatabaseTime]  # the latest acknowledgement, or when an operator wanted it asked again
    due_at: Mapped[DatabaseTime]
    request_uid: Mapped[str | None]
    asked_at: Mapped[datetime | None]
    asks: Mapped[int] = mapped_column(server_default=text("0"))  # since `since`
    absences: Mapped[int] = mapped_column(server_default=text("0"))  # queries in a row that did not find it
    losses: Mapped[int] = mapped_column(server_default=text("0"))  # how often it was sent again, ever
    reason: Mapped[int | None]  # the latest Failure Reason (PS3.3 section C.14.1.1) or DIMSE status
    note: Mapped[str] = mapped_column(server_default=text("''"))
    proven_at: Mapped[datetime | None]


class RefusedReportRow(Base):
    """Reports of storage commitment that were not believed, by address and why; the rest is of the latest.

    `told` is how many the latest row of the audit trail stands for, `untold` how many came since.
    """

    __tablename__ = "refused_report"
    __table_args__ = (one_of("why", [why for why in Believed if why is not Believed.TAKEN]),)

    remote_address: Mapped[str] = mapped_column(primary_key=True)
    why: Mapped[str] = mapped_column(primary_key=True)
    calling_ae_title: Mapped[str]
    destination: Mapped[str]
    objects: Mapped[int]
    untold: Mapped[int] = mapped_column(server_default=text("0"))
    told: Mapped[int] = mapped_column(server_default=text("1"))
    told_at: Mapped[DatabaseTime]


class CommitmentQuestionRow(Base):
    """A request for storage commitment of ours; only its destination may answer it, from where we asked it."""

    __tablename__ = "commitment_question"

    transaction_uid: Mapped[str] = mapped_column(primary_key=True)
    destination: Mapped[str]
    ae_title: Mapped[str]
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text))
    delivery_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    asked_at: Mapped[DatabaseTime]
    reported_at: Mapped[datetime | None]  # the first time
    reports: Mapped[int] = mapped_column(server_default=text("0"))
