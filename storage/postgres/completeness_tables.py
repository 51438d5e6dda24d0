"""The tables of completeness beside `study_revision`."""

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.completeness import EvidenceKind, Word
from storage.postgres.table_base import Base, Big, DatabaseTime, one_of


class CompletenessClaimRow(Base):
    """What a peer said that a study holds; it may name instances that are not here.

    It is written again under the same identifier when a process died in between, and then changes nothing.
    """

    __tablename__ = "completeness_claim"
    __table_args__ = (
        one_of("kind", [EvidenceKind.COMMITMENT]),
        Index("completeness_claim_of_study", "study_instance_uid"),
        Index("completeness_claim_oldest", "received_at"),
    )

    claim_id: Mapped[str] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    calling_ae_title: Mapped[str]
    sop_instance_uids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    received_at: Mapped[DatabaseTime]


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
