"""The tables of completeness beside `study_revision`."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.completeness import NAMING, EvidenceKind, Word
from storage.postgres.table_base import Base, Big, DatabaseTime, one_of


class CompletenessClaimRow(Base):
    """What a peer said that a study holds; it may name instances that are not here.

    It is written again under the same identifier when a process died in between, and then changes nothing.
    """

    __tablename__ = "completeness_claim"
    __table_args__ = (
        one_of("kind", NAMING),
        Index("completeness_claim_of_study", "study_instance_uid"),
        Index("completeness_claim_oldest", "received_at"),
    )

    claim_id: Mapped[str] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    calling_ae_title: Mapped[str]
    sop_instance_uids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    received_at: Mapped[DatabaseTime]


class StudyCountRow(Base):
    """What an archive says of how many instances it has of a study that waits; gone once the study has settled.

    ``due_at`` is when it is to be asked, empty while nobody wants it. A later failure leaves the number as it is.
    """

    __tablename__ = "study_count"
    __table_args__ = (
        CheckConstraint("(instances IS NULL) = (counted_at IS NULL)", name="counted_at_a_time"),
        CheckConstraint("instances >= 0", name="instances_count_up"),
    )

    study_id: Mapped[Big] = mapped_column(ForeignKey("study.id"), primary_key=True, autoincrement=False)
    destination: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    asked_at: Mapped[datetime | None]
    counted_at: Mapped[datetime | None]  # when the question was asked that `instances` answers
    instances: Mapped[int | None] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(server_default=text("''"))  # why the latest question has no answer


class RevisionEvidenceRow(Base):
    """On what it was decided that a revision is complete; exactly one row of a revision is decisive."""

    __tablename__ = "revision_evidence"
    __table_args__ = (
        ForeignKeyConstraint(["study_id", "revision"], ["study_revision.study_id", "study_revision.revision"]),
        one_of("kind", EvidenceKind),
        one_of("word", Word),
        CheckConstraint("sentence <> ''", name="told"),
        Index(
            "revision_evidence_decisive",
            "study_id",
            "revision",
            unique=True,
            postgresql_where=text("decisive"),
        ),
    )

    study_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    word: Mapped[str]
    decisive: Mapped[bool]
    sentence: Mapped[str]
