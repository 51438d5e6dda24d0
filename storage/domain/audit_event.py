"""What was done, to whose data, by whom (PS3.15 section A.5 gives the event identifiers)."""

from dataclasses import dataclass, field
from enum import StrEnum


class AuditAction(StrEnum):
    """Every kind of audit row (PS3.15 section A.5.3 names the events they stand for)."""

    APPLICATION_STARTED = "application-started"
    APPLICATION_STOPPED = "application-stopped"
    ASSOCIATION_ENDED = "association-ended"
    ASSOCIATION_REJECTED = "association-rejected"
    INSTANCE_STORED = "instance-stored"
    INSTANCE_QUARANTINED = "instance-quarantined"
    STUDY_STABLE = "study-stable"
    STUDY_PARKED = "study-parked"
    STUDY_FULL = "study-full"
    JOB_SCHEDULED = "job-scheduled"
    JOB_CLAIMED = "job-claimed"
    JOB_COMPLETED = "job-completed"
    JOB_RETRIED = "job-retried"
    JOB_FAILED = "job-failed"
    JOB_CANCELED = "job-canceled"
    JOB_PRIORITISED = "job-prioritised"
    RESULT_STORED = "result-stored"
    FEEDBACK_GIVEN = "feedback-given"
    DELIVERY_ACKNOWLEDGED = "delivery-acknowledged"
    DELIVERY_REFUSED = "delivery-refused"
    DELIVERY_PROVEN = "delivery-proven"
    DELIVERY_LOST = "delivery-lost"
    DELIVERY_UNPROVEN = "delivery-unproven"
    DELIVERY_PROOF_REOPENED = "delivery-proof-reopened"
    COMMITMENT_REPORT_REFUSED = "commitment-report-refused"
    DELIVERIES_PAUSED = "deliveries-paused"
    DELIVERIES_RESUMED = "deliveries-resumed"
    DESTINATION_PROBED = "destination-probed"
    WORKITEM_CREATED = "workitem-created"
    WORKITEM_VIEWED = "workitem-viewed"
    WORKITEM_UPDATED = "workitem-updated"
    WORKITEM_CLAIMED = "workitem-claimed"
    WORKITEM_COMPLETED = "workitem-completed"
    WORKITEM_CANCELED = "workitem-canceled"
    WORKITEM_CANCEL_REQUESTED = "workitem-cancel-requested"
    WORKITEM_SUBSCRIBED = "workitem-subscribed"
    WORKITEM_UNSUBSCRIBED = "workitem-unsubscribed"
    ALGORITHM_ADDED = "algorithm-added"
    ALGORITHM_RETIRED = "algorithm-retired"
    ALGORITHM_PROMOTED = "algorithm-promoted"
    ALGORITHM_SHADOWED = "algorithm-shadowed"
    ALGORITHM_ACCEPTANCE_RUN = "algorithm-acceptance-run"
    DRIFT_ALARM_BEGAN = "drift-alarm-began"
    DRIFT_ALARM_ENDED = "drift-alarm-ended"
    MONITORING_BASELINE_SET = "monitoring-baseline-set"
    AUDIT_CHAIN_STARTED = "audit-chain-started"
    AUDIT_READ = "audit-read"
    AUDIT_EXPORTED = "audit-exported"
    LOGIN_SUCCEEDED = "login-succeeded"
    LOGIN_FAILED = "login-failed"
    LOGGED_OUT = "logged-out"
    USER_ADDED = "user-added"
    USER_CHANGED = "user-changed"
    USER_DISABLED = "user-disabled"
    ACCESS_DENIED = "access-denied"
    STUDIES_QUERIED = "studies-queried"
    STUDY_VIEWED = "study-viewed"
    INSTANCES_RETRIEVED = "instances-retrieved"

    NOTIFICATION_DELIVERED = "notification-delivered"
    NOTIFICATION_REFUSED = "notification-refused"
    NOTIFICATION_GIVEN_UP = "notification-given-up"
    NOTIFICATION_RETRIED = "notification-retried"
    ARCHIVE_QUERIED = "archive-queried"
    STUDY_FETCH_BEGAN = "study-fetch-began"
    STUDY_FETCHED = "study-fetched"
    COHORT_CREATED = "cohort-created"
    COHORT_CANCELED = "cohort-canceled"
    COHORT_EXPORTED = "cohort-exported"


class AuditOutcome(StrEnum):
    """How it went (PS3.15 section A.5.2, EventOutcomeIndicator 0, 4, 8)."""

    SUCCESS = "success"
    MINOR_FAILURE = "minor-failure"
    SERIOUS_FAILURE = "serious-failure"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One row of the audit trail.

    ``actor`` is a process (``listener``, ``worker host:pid``), a peer's AE title or an operator's account;
    ``details`` holds identifiers, counts, codes and digests, never a patient's name.
    """

    action: AuditAction
    actor: str
    outcome: AuditOutcome = AuditOutcome.SUCCESS
    study_instance_uid: str = ""
    job_id: int | None = None
    details: dict[str, str | int | float | None] = field(default_factory=dict)
