"""The one picture of the schema as it is today; `migrations/versions` is how it came to be.

The CHECK constraints carry the domain's words: a state that the domain does not know cannot be stored. The view
`study_overview`, the trigger that holds the job lifecycle and the triggers that chain the audit trail and keep it
append-only have no Python twin; they stand in the migrations.
"""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.algorithm import AlgorithmStage
from storage.domain.audit_event import AuditOutcome
from storage.domain.delivery import DeliveryState
from storage.domain.job import FINAL_STATES, PRIORITY_RANK, JobKind, JobState, Outcome, Priority
from storage.domain.result import EvidenceForm, EvidenceRole
from storage.postgres.account_tables import AccountRow, ApiTokenRow, WebSessionRow
from storage.postgres.cohort_tables import CohortMemberRow, CohortRow
from storage.postgres.completeness_tables import CompletenessClaimRow, RevisionEvidenceRow, StudyCountRow
from storage.postgres.feedback_tables import FeedbackRow, ReturnedObjectRow
from storage.postgres.fetch_tables import StudyFetchRow
from storage.postgres.lane_tables import DeliveryLaneRow
from storage.postgres.monitoring_tables import DriftAlarmRow, DriftRow, MonitoringBaselineRow
from storage.postgres.notification_tables import NotificationReceiverRow, NotificationRow
from storage.postgres.prior_tables import PriorRequestRow
from storage.postgres.proof_tables import CommitmentQuestionRow, DeliveryProofRow, ProofTransitionRow, RefusedReportRow
from storage.postgres.received_tables import (
    AssociationRow,
    InstanceImageRow,
    InstanceRow,
    QuarantinedObjectRow,
    SeriesRow,
    StudyRevisionRow,
    StudyRow,
)
from storage.postgres.route_tables import RevisionRouteRow, SeriesAttributesRow
from storage.postgres.table_base import Base, Big, DatabaseTime, Json, RowId, Token, listed, one_of, sha256_check
from storage.postgres.workitem_tables import (
    WorkitemEventRow,
    WorkitemJobRow,
    WorkitemRow,
    WorkitemSubscriberRow,
    WorkitemSubscriptionRow,
)

__all__ = [
    "AccountRow",
    "AlgorithmRow",
    "ApiTokenRow",
    "AssociationRow",
    "AuditEventRow",
    "AuditHeadRow",
    "Base",
    "CohortMemberRow",
    "CohortRow",
    "CommitmentQuestionRow",
    "CompletenessClaimRow",
    "DeliveryLaneRow",
    "DeliveryProofRow",
    "DeliveryRow",
    "DriftAlarmRow",
    "DriftRow",
    "EvidenceRow",
    "FeedbackRow",
    "InstanceImageRow",
    "InstanceRow",
    "JobRow",
    "JobTransitionRow",
    "MonitoringBaselineRow",
    "NotificationReceiverRow",
    "NotificationRow",
    "PriorRequestRow",
    "ProofTransitionRow",
    "QuarantinedObjectRow",
    "RefusedReportRow",
    "ResultInputRow",
    "ResultRow",
    "ResultStatisticsRow",
    "ReturnedObjectRow",
    "RevisionEvidenceRow",
    "RevisionRouteRow",
    "SeriesAttributesRow",
    "SeriesRow",
    "StudyCountRow",
    "StudyFetchRow",
    "StudyRevisionRow",
    "StudyRow",
    "WebSessionRow",
    "WorkitemEventRow",
    "WorkitemJobRow",
    "WorkitemRow",
    "WorkitemSubscriberRow",
    "WorkitemSubscriptionRow",
]


class AlgorithmRow(Base):
    """One installed version; a version's digests never change, and a name has at most one active version."""

    __tablename__ = "algorithm"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        one_of("stage", AlgorithmStage),
        sha256_check("manifest_sha256"),
        sha256_check("artifact_sha256"),
        Index("algorithm_one_active", "name", unique=True, postgresql_where=text("stage = 'active'")),
    )

    id: Mapped[RowId]
    name: Mapped[str]
    version: Mapped[str]
    stage: Mapped[str]
    folder: Mapped[str]
    manifest_sha256: Mapped[str]
    artifact_sha256: Mapped[str]
    modalities: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    least_images: Mapped[int] = mapped_column(server_default=text("0"))  # of a series; 0: not known
    added_at: Mapped[DatabaseTime]
    activated_at: Mapped[datetime | None]  # when it was last made active


class JobTransitionRow(Base):
    """The job lifecycle as rows, so that the trigger on `job` and an administrator can read it."""

    __tablename__ = "job_transition"

    from_state: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    to_state: Mapped[str]


class JobRow(Base):
    """One promised piece of work: an algorithm on a revision, a result to a destination, or a report of no result.

    How often a job may be tried is a setting, not a fact of the row: a changed budget takes effect at once.
    `started_at` is the first claim and stays. `reason_*` is the latest reason given, also between two attempts.
    `refusals` says why each series that was not analysed was not, as a list of series_instance_uid, code and sentence.
    `about_id` is the inference that a notice tells of; what it tells is a result of that inference.
    An inference of a `shadow` is claimed after all others; its result has no evidence, and nobody is told of it.
    """

    __tablename__ = "job"
    __table_args__ = (
        ForeignKeyConstraint(["study_id", "revision"], ["study_revision.study_id", "study_revision.revision"]),
        one_of("kind", JobKind),
        one_of("state", JobState),
        one_of("priority", Priority),
        one_of("outcome", Outcome),
        CheckConstraint(
            "(kind = 'inference' AND algorithm_id IS NOT NULL AND result_id IS NULL AND destination IS NULL"
            " AND about_id IS NULL) OR "
            "(kind = 'delivery' AND algorithm_id IS NULL AND result_id IS NOT NULL AND destination IS NOT NULL"
            " AND about_id IS NULL) OR "
            "(kind = 'notice' AND algorithm_id IS NOT NULL AND result_id IS NULL AND destination IS NULL"
            " AND about_id IS NOT NULL)",
            name="names_its_work",
        ),
        CheckConstraint(
            "(state = 'in_progress') = (lease_token IS NOT NULL) AND "
            "(state = 'in_progress') = (lease_expires_at IS NOT NULL)",
            name="leased_while_in_progress",
        ),
        CheckConstraint(
            f"(state IN ({listed(sorted(FINAL_STATES))})) = (finished_at IS NOT NULL)", name="finished_when_final"
        ),
        CheckConstraint("(attempt > 0) = (started_at IS NOT NULL) AND attempt >= 0", name="started_when_attempted"),
        CheckConstraint("child_deaths BETWEEN 0 AND attempt", name="child_deaths_are_attempts"),
        CheckConstraint(
            "(kind = 'inference' AND state = 'completed') = (outcome IS NOT NULL)", name="outcome_when_completed"
        ),
        CheckConstraint("num_nonnulls(reason_code, reason_sentence) IN (0, 2)", name="reason_is_whole"),
        CheckConstraint(
            "(state NOT IN ('failed', 'canceled') AND outcome IS DISTINCT FROM 'not-analysed') "
            "OR reason_code IS NOT NULL",
            name="no_silent_end",
        ),
        CheckConstraint("NOT shadow OR (kind = 'inference' AND priority = 'low')", name="shadows_come_last"),
        CheckConstraint("turn >= 0 AND (turn = 0 OR kind = 'inference')", name="turns_are_of_inference"),
        # One chain per piece of work: the first job has no predecessor, and each is followed by at most one.
        Index(
            "job_one_inference",
            "study_id",
            "revision",
            "algorithm_id",
            "shadow",
            unique=True,
            postgresql_where=text("kind = 'inference' AND predecessor_id IS NULL"),
        ),
        Index(
            "job_one_delivery",
            "result_id",
            "destination",
            unique=True,
            postgresql_where=text("kind = 'delivery' AND predecessor_id IS NULL"),
        ),
        Index(
            "job_one_notice",
            "about_id",
            unique=True,
            postgresql_where=text("kind = 'notice' AND predecessor_id IS NULL"),
        ),
        # What was never tried is claimed in this order, and what was tried before in the next one: the first row that
        # nobody holds is the one, so that what waits for its time is passed over by no claim.
        Index(
            "job_due",
            "kind",
            "shadow",
            "priority_rank",
            "turn",
            "due_at",
            "id",
            postgresql_where=text("state = 'scheduled' AND attempt = 0"),
        ),
        Index(
            "job_due_again",
            "kind",
            "shadow",
            "priority_rank",
            "due_at",
            "id",
            postgresql_where=text("state = 'scheduled' AND attempt > 0"),
        ),
        # Where is the front of the line when everything in it was tried before?
        Index(
            "job_tried_in_line",
            "shadow",
            "priority_rank",
            "turn",
            postgresql_where=text("state = 'scheduled' AND kind = 'inference' AND attempt > 0"),
        ),
        # Each lane of delivery walks its own part, so that what waits for a dead destination costs no other.
        Index(
            "job_due_at_destination",
            "destination",
            "priority_rank",
            "turn",
            "due_at",
            "id",
            postgresql_where=text("state = 'scheduled' AND kind = 'delivery'"),
        ),
        # How far has a source got in the line? Asked for every job that is scheduled.
        Index(
            "job_of_source",
            "source",
            "priority",
            "shadow",
            "turn",
            postgresql_where=text("state = 'scheduled' AND kind = 'inference'"),
        ),
        Index("job_leased", "lease_expires_at", postgresql_where=text("state = 'in_progress'")),
        Index("job_of_study", "study_id", "revision"),
    )

    id: Mapped[RowId]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'scheduled'"))
    priority: Mapped[str] = mapped_column(server_default=text("'routine'"))
    priority_rank: Mapped[int] = mapped_column(
        SmallInteger,
        Computed(
            "CASE priority " + " ".join(f"WHEN '{word}' THEN {rank}" for word, rank in PRIORITY_RANK.items()) + " END",
            persisted=True,
        ),
    )
    study_id: Mapped[Big]
    revision: Mapped[int]
    algorithm_id: Mapped[Big | None] = mapped_column(ForeignKey("algorithm.id"))
    shadow: Mapped[bool] = mapped_column(server_default=text("false"))  # its result stays in the database
    result_id: Mapped[Big | None] = mapped_column(ForeignKey("result.id", use_alter=True))
    destination: Mapped[str | None]
    about_id: Mapped[Big | None] = mapped_column(ForeignKey("job.id"))
    source: Mapped[str] = mapped_column(server_default=text("''"))  # AE title or account that sent what is analysed
    priority_because: Mapped[str] = mapped_column(server_default=text("''"))  # who said so; empty where nobody did
    turn: Mapped[Big] = mapped_column(server_default=text("0"))  # of one priority, the smallest is claimed first
    predecessor_id: Mapped[Big | None] = mapped_column(ForeignKey("job.id"), unique=True)
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    child_deaths: Mapped[int] = mapped_column(server_default=text("0"))  # attempts that ended the process they ran in
    worker: Mapped[str | None]  # who claimed it last
    scheduled_at: Mapped[DatabaseTime]
    due_at: Mapped[DatabaseTime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    lease_token: Mapped[Token | None]
    lease_expires_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    reason_code: Mapped[str | None]
    reason_sentence: Mapped[str | None]
    refusals: Mapped[Json] = mapped_column(server_default=text("'[]'"))


class ResultRow(Base):
    """What one inference job produced; the bytes of the DICOM objects are in `evidence`.

    `pictures` is a list of sha256 and title in the order to show them; the digest names a file beside the evidence.
    `predecessor_id` is the result of an earlier revision that this one follows, chosen once.
    """

    __tablename__ = "result"
    __table_args__ = (
        Index("result_predecessor", "predecessor_id", postgresql_where=text("predecessor_id IS NOT NULL")),
    )

    id: Mapped[RowId]
    job_id: Mapped[Big] = mapped_column(ForeignKey("job.id"), unique=True)
    series_instance_uid: Mapped[str]
    artifact_sha256: Mapped[str]
    execution_provider: Mapped[str]
    findings: Mapped[Json]
    report_text: Mapped[str]
    pictures: Mapped[Json] = mapped_column(server_default=text("'[]'"))
    predecessor_id: Mapped[Big | None] = mapped_column(ForeignKey("result.id"))
    stored_at: Mapped[DatabaseTime]


class ResultStatisticsRow(Base):
    """What monitoring keeps of a result: how its input was spread, its scores, its times; nothing of a patient.

    `values` and `stages` are by the words of the domain, `scores` by name. By `scanner` and `protocol` results are
    grouped; `acquisition` has their parts.
    """

    __tablename__ = "result_statistics"
    __table_args__ = (Index("result_statistics_of_algorithm", "algorithm_id", "scanner", "protocol", "result_id"),)

    result_id: Mapped[Big] = mapped_column(ForeignKey("result.id"), primary_key=True)
    algorithm_id: Mapped[Big] = mapped_column(ForeignKey("algorithm.id"))
    scanner: Mapped[str]
    protocol: Mapped[str]
    acquisition: Mapped[Json]
    values: Mapped[Json]
    scores: Mapped[Json]
    stages: Mapped[Json]
    stored_at: Mapped[DatabaseTime]


class ResultInputRow(Base):
    """The instances a result claims as its source, no more and no fewer."""

    __tablename__ = "result_input"
    __table_args__ = (Index("result_input_instance", "instance_id"),)  # which results does this instance stand behind?

    result_id: Mapped[Big] = mapped_column(ForeignKey("result.id"), primary_key=True)
    instance_id: Mapped[Big] = mapped_column(ForeignKey("instance.id"), primary_key=True)


class EvidenceRow(Base):
    """One DICOM object of a result, frozen; `sha256` names the file whose bytes every send repeats.

    A resubmitted job derives the same UIDs as its predecessor. It then refers to the bytes that were frozen
    first: one SOP Instance UID must never stand for two contents. Alternatives differ in `form`; one that `stands_in`
    repeats the content of another, for destinations that do not take that one, and we show it nowhere ourselves.
    """

    __tablename__ = "evidence"
    __table_args__ = (
        UniqueConstraint("result_id", "sop_instance_uid"),
        one_of("role", EvidenceRole),
        one_of("form", EvidenceForm),
        sha256_check("sha256"),
        Index("evidence_sop_instance_uid", "sop_instance_uid"),  # is an arriving instance one of ours?
    )

    id: Mapped[RowId]
    result_id: Mapped[Big] = mapped_column(ForeignKey("result.id"))
    role: Mapped[str]
    form: Mapped[str]
    stands_in: Mapped[bool] = mapped_column(server_default=text("false"))  # only repeats another form
    sop_class_uid: Mapped[str]
    sop_instance_uid: Mapped[str]
    series_instance_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[Big]


class DeliveryRow(Base):
    """One evidence object on its way to one destination; its job says when the next try is."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("evidence_id", "destination"),
        one_of("state", DeliveryState),
        CheckConstraint("(state = 'acknowledged') = (acknowledged_at IS NOT NULL)", name="acknowledged_at_a_time"),
        Index("delivery_of_job", "job_id"),
    )

    id: Mapped[RowId]
    evidence_id: Mapped[Big] = mapped_column(ForeignKey("evidence.id"))
    destination: Mapped[str]
    job_id: Mapped[Big] = mapped_column(ForeignKey("job.id"))
    state: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))  # at which it left us, since it is owed
    status: Mapped[int | None]  # the latest DIMSE status (PS3.7 annex C)
    note: Mapped[str] = mapped_column(server_default=text("''"))
    acknowledged_at: Mapped[datetime | None]


class AuditEventRow(Base):
    """What was done, to whose data, by whom; rows are only ever added, and refer to nothing so that they outlive it.

    A trigger numbers the rows without gaps, gives them their time and chains them: `row_hash` is the SHA-256 of
    `prev_hash`, which is the row before's, and of all other columns.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        one_of("outcome", AuditOutcome),
        CheckConstraint("octet_length(prev_hash) = 32 AND octet_length(row_hash) = 32", name="hashes_are_sha256"),
        Index("audit_event_of_study", "study_instance_uid", "id"),
    )

    id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False, server_default=FetchedValue())
    recorded_at: Mapped[DatabaseTime]
    action: Mapped[str]
    actor: Mapped[str]
    outcome: Mapped[str]
    study_instance_uid: Mapped[str]
    job_id: Mapped[Big | None]
    details: Mapped[Json]
    prev_hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    row_hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())


class AuditHeadRow(Base):
    """The end of the chain, one row: how many rows `audit_event` has had, and the hash of the last of them."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("only_one", name="has_one_row"),)

    only_one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    rows: Mapped[Big]
    row_hash: Mapped[bytes]
