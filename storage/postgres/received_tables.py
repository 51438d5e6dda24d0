"""The tables of what was received: associations, studies, series, instances, quarantined objects."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.association import AssociationEnd, Door
from storage.domain.study import ExclusionRule, QuarantineReason
from storage.postgres.table_base import Base, Big, DatabaseTime, Numbers, RowId, Token, one_of, sha256_check


class AssociationRow(Base):
    """One incoming association or web request; "who sent this, and how did it end" is the first question asked.

    An instance's manifest may be recorded before or after the note of the association's end.
    """

    __tablename__ = "association"
    __table_args__ = (
        one_of("ending", AssociationEnd),
        CheckConstraint("(ending = 'open') = (ended_at IS NULL)", name="ended_when_not_open"),
        one_of("door", Door),
        CheckConstraint("(door = 'web') = (account <> '')", name="account_when_web"),
        Index("association_rejected", "started_at", postgresql_where=text("ending = 'rejected'")),
    )

    association_id: Mapped[Token] = mapped_column(primary_key=True)
    calling_ae_title: Mapped[str]
    called_ae_title: Mapped[str]
    remote_address: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ending: Mapped[str]  # `end` is a reserved word of SQL
    stored_count: Mapped[int]
    refused_count: Mapped[int]
    reason: Mapped[str]
    recorded_at: Mapped[DatabaseTime]
    door: Mapped[str] = mapped_column(server_default=text("'dimse'"))
    account: Mapped[str] = mapped_column(server_default=text("''"))


class StudyRow(Base):
    """One study; its patient is that of its first instance, so that a second one can be noticed.

    `last_received_at` is database time, not the sender's: after an outage the backlog arrives at once, and a
    study must not look quiet while the rest of it still stands in the spool.
    """

    __tablename__ = "study"
    __table_args__ = (
        CheckConstraint("revision >= 0", name="revision_counts_up"),
        CheckConstraint("num_nonnulls(parked_at, parked_code, parked_sentence) IN (0, 3)", name="parked_with_a_reason"),
        Index("study_newest", "last_received_at", "study_instance_uid"),  # a page of the list, read backwards
        Index("study_accession_number", "accession_number"),
    )

    id: Mapped[RowId]
    study_instance_uid: Mapped[str] = mapped_column(unique=True)
    patient_id: Mapped[str]
    issuer_of_patient_id: Mapped[str]
    accession_number: Mapped[str]
    study_date: Mapped[date | None]
    first_received_at: Mapped[DatabaseTime]
    last_received_at: Mapped[DatabaseTime]
    revision: Mapped[int] = mapped_column(server_default=text("0"))  # of the newest study_revision; 0: none yet
    parked_at: Mapped[datetime | None]
    parked_code: Mapped[str | None]
    parked_sentence: Mapped[str | None]
    instance_count: Mapped[Big] = mapped_column(server_default=text("0"))  # rows in `instance`, excluded ones too
    byte_count: Mapped[Big] = mapped_column(server_default=text("0"))  # of their data sets
    unsettled_since: Mapped[datetime | None]  # when the oldest instance came that counts and that no revision holds


class StudyRevisionRow(Base):
    """A study that became stable; a job is about exactly one of these.

    Its instances are those with `instance.revision` up to its own. A reason stands here when no job was made.
    """

    __tablename__ = "study_revision"
    __table_args__ = (
        CheckConstraint("revision >= 1", name="revision_starts_at_one"),
        CheckConstraint("num_nonnulls(reason_code, reason_sentence) IN (0, 2)", name="reason_is_whole"),
    )

    study_id: Mapped[Big] = mapped_column(ForeignKey("study.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stable_at: Mapped[DatabaseTime]
    reason_code: Mapped[str | None]
    reason_sentence: Mapped[str | None]


class SeriesRow(Base):
    """One series of a study; unique within its study, because some senders reuse Series Instance UIDs."""

    __tablename__ = "series"
    __table_args__ = (
        UniqueConstraint("study_id", "series_instance_uid"),
        UniqueConstraint("study_id", "id"),  # lets instance prove that its series is of its study
    )

    id: Mapped[RowId]
    study_id: Mapped[Big] = mapped_column(ForeignKey("study.id"))
    series_instance_uid: Mapped[str]
    modality: Mapped[str]
    body_part_examined: Mapped[str]
    series_description: Mapped[str]
    series_number: Mapped[Big | None]


class InstanceRow(Base):
    """One acknowledged instance. `revision` is empty until the study becomes stable with it."""

    __tablename__ = "instance"
    __table_args__ = (
        ForeignKeyConstraint(["study_id", "series_id"], ["series.study_id", "series.id"]),
        ForeignKeyConstraint(["study_id", "revision"], ["study_revision.study_id", "study_revision.revision"]),
        one_of("excluded_rule", ExclusionRule),
        sha256_check("sha256"),
        CheckConstraint("revision IS NULL OR excluded_rule IS NULL", name="excluded_never_counts"),
        Index("instance_of_study", "study_id", "revision"),
        Index("instance_of_series", "series_id"),
        # The housekeeper asks every second which studies have instances that no revision holds.
        Index(
            "instance_unsettled",
            "study_id",
            postgresql_where=text("revision IS NULL AND excluded_rule IS NULL"),
        ),
    )

    id: Mapped[RowId]
    study_id: Mapped[Big]
    series_id: Mapped[Big]
    sop_instance_uid: Mapped[str] = mapped_column(unique=True)
    sop_class_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    instance_number: Mapped[Big | None]
    sha256: Mapped[str]
    size: Mapped[Big]
    association_id: Mapped[Token] = mapped_column(ForeignKey("association.association_id"))
    received_at: Mapped[datetime]
    recorded_at: Mapped[DatabaseTime]
    revision: Mapped[int | None]
    excluded_rule: Mapped[str | None]


class InstanceImageRow(Base):
    """What an instance says of its image, written once with its row; see ``storage.domain.image_record``.

    Instances of an earlier release, and those that are no images, have none.
    """

    __tablename__ = "instance_image"
    __table_args__ = (
        sha256_check("head_sha256"),
        CheckConstraint("num_nonnulls(pixel_offset, pixel_length) IN (0, 2)", name="pixels_have_place_and_length"),
    )

    instance_id: Mapped[Big] = mapped_column(ForeignKey("instance.id"), primary_key=True, autoincrement=False)
    rows: Mapped[int]
    columns: Mapped[int]
    samples_per_pixel: Mapped[int]
    photometric_interpretation: Mapped[str]
    number_of_frames: Mapped[Big]
    bits_allocated: Mapped[int]
    bits_stored: Mapped[int]
    high_bit: Mapped[int]
    pixel_representation: Mapped[int]
    image_position_patient: Mapped[Numbers | None]
    image_orientation_patient: Mapped[Numbers | None]
    pixel_spacing: Mapped[Numbers | None]
    rescale_intercept: Mapped[float | None]
    rescale_slope: Mapped[float | None]
    head_length: Mapped[Big]
    head_sha256: Mapped[str]
    pixel_offset: Mapped[Big | None]
    pixel_length: Mapped[Big | None]


class QuarantinedObjectRow(Base):
    """Bytes that were set aside; identifiers are as claimed, so nothing refers to them."""

    __tablename__ = "quarantined_object"
    __table_args__ = (
        one_of("reason", QuarantineReason),
        sha256_check("sha256"),
        Index("quarantined_object_sop_instance_uid", "sop_instance_uid"),  # did what a peer names come to nothing?
    )

    quarantine_id: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    sop_instance_uid: Mapped[str]
    study_instance_uid: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[Big]
    association_id: Mapped[Token] = mapped_column(ForeignKey("association.association_id"))
    received_at: Mapped[datetime]
    recorded_at: Mapped[DatabaseTime]
