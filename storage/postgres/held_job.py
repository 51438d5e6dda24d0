"""A job that this transaction has locked, and the moves it can make; each writes its audit row beside it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.job import (
    FINAL_STATES,
    ClaimedJob,
    JobEvent,
    JobKind,
    JobState,
    Outcome,
    Priority,
    Reason,
    next_state,
)
from storage.domain.not_analysed import failure_is_told
from storage.errors import LeaseLost
from storage.postgres.audit_trail import append
from storage.postgres.notice_schedule import schedule_notice
from storage.postgres.proof_ending import end_lost
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import JobRow
from storage.postgres.turns import front_turn
from storage.postgres.work_signal import announce_work
from storage.settings import JobSettings

LEASE_EXPIRED = "lease-expired"  # the code of a job whose worker fell silent


@dataclass(frozen=True, slots=True)
class HeldJob:
    """The facts of a locked job; ``age_hours`` is since it was scheduled, by the database's clock.

    For a delivery to a destination that was away since, it is since that came back.
    """

    job_id: int
    kind: JobKind
    state: JobState
    priority: Priority
    shadow: bool
    study_id: int
    study_instance_uid: str
    revision: int
    attempt: int
    destination: str
    worker: str
    age_hours: float

    @classmethod
    def from_row(cls, row: Row[Any]) -> "HeldJob":
        """The job in a row of hold_job.sql or rescue_leases.sql."""
        facts = dict(row._mapping)
        return cls(
            **facts
            | {
                "kind": JobKind(facts["kind"]),
                "state": JobState(facts["state"]),
                "priority": Priority(facts["priority"]),
            }
        )


def hold(session: Session, job: ClaimedJob) -> HeldJob:
    """Lock the job until the transaction ends, if its lease is still the worker's.

    Raises:
        LeaseLost: it was rescued, canceled or settled; nothing may be changed in its name.
    """
    row = session.execute(statement("hold_job"), {"job_id": job.job_id, "lease_token": job.lease_token}).one_or_none()
    if row is None:
        raise LeaseLost
    return HeldJob.from_row(row)


def move(
    session: Session,
    job: HeldJob,
    event: JobEvent,
    action: AuditAction,
    actor: str,
    *,
    reason: Reason | None = None,
    result: Outcome | None = None,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    **columns: Any,  # noqa: ANN401 - values or SQL expressions of the job's columns
) -> None:
    """Change the job's state as ``event`` says, end its lease and write the audit row.

    Raises:
        InvalidTransition: the table of transitions has no such row.
    """
    state = next_state(job.state, event)
    if state in FINAL_STATES:
        columns["finished_at"] = func.now()
    if result is not None:
        columns["outcome"] = str(result)
    if reason is not None:
        columns |= {"reason_code": reason.code, "reason_sentence": stored_text(reason.sentence)}
    session.execute(
        update(JobRow)
        .where(JobRow.id == job.job_id)
        .values(state=str(state), lease_token=None, lease_expires_at=None, **columns)
    )
    details: dict[str, str | int | float | None] = {"kind": str(job.kind), "attempt": job.attempt}
    if result is not None:
        details["outcome"] = str(result)
    if reason is not None:
        details |= {"code": reason.code, "sentence": reason.sentence}
    append(session, AuditEvent(action, actor, outcome, job.study_instance_uid, job.job_id, details))
    if state in FINAL_STATES and job.kind is JobKind.DELIVERY:
        end_lost(session, job.job_id, state, reason.sentence if reason is not None else "")


def give_up(
    session: Session,
    job: HeldJob,
    reason: Reason,
    actor: str,
    limits: JobSettings,
    **columns: Any,  # noqa: ANN401 - as of `move`
) -> None:
    """Fail the job; an operator has to look at it, and the destinations are told where it is an inference.

    Nobody waits for what a shadow finds, so nobody is told of its failure.
    """
    move(
        session,
        job,
        JobEvent.FAIL,
        AuditAction.JOB_FAILED,
        actor,
        reason=reason,
        outcome=AuditOutcome.SERIOUS_FAILURE,
        **columns,
    )
    if job.kind is JobKind.INFERENCE and not job.shadow and failure_is_told(limits.not_analysed):
        schedule_notice(session, job.job_id, job.study_instance_uid, actor)


def one_more_child_death() -> dict[str, Any]:
    """The column, and its next value, of a job whose attempt ended the process that ran it."""
    return {"child_deaths": JobRow.child_deaths + 1}


def give_back(
    session: Session,
    job: HeldJob,
    reason: Reason,
    delay: timedelta,
    actor: str,
    limits: JobSettings,
    *,
    child_died: bool = False,
) -> JobState:
    """Return the job to the queue, due after ``delay``, or fail it when its budget is spent; say which it was.

    An inference has a budget of attempts, because an input may kill every worker that takes it; so has a notice, which
    reads the same images. A delivery has a budget of hours, because a PACS that is down for the night has nothing to do
    with how often it was asked.

    An inference goes to the front of the line: it had its turn, and must not wait behind all that came since.
    ``child_died`` counts one more process that the job ended.
    """
    columns = one_more_child_death() if child_died else {}
    spent = _spent(job, reason, limits)
    if spent is not None:
        give_up(session, job, spent, actor, limits, **columns)
        return JobState.FAILED
    if job.kind is JobKind.INFERENCE:
        columns["turn"] = front_turn(session, job.priority, shadow=job.shadow)
    move(
        session,
        job,
        JobEvent.RETRY,
        AuditAction.JOB_RETRIED,
        actor,
        reason=reason,
        outcome=AuditOutcome.MINOR_FAILURE,
        due_at=func.now() + delay,
        **columns,
    )
    announce_work(session, job.kind)
    return JobState.SCHEDULED


def _spent(job: HeldJob, reason: Reason, limits: JobSettings) -> Reason | None:
    if job.kind is not JobKind.DELIVERY and job.attempt >= limits.max_attempts:
        work = "analysis" if job.kind is JobKind.INFERENCE else "report that there is no result"
        return Reason(
            "attempts-spent",
            f"The {work} was started {job.attempt} times without coming to an end, so it was given up; "
            f"the last attempt said: {reason.sentence}",
        )
    # Of our own silence no destination is guilty: after a long outage of ours it is asked once more.
    is_refused = job.kind is JobKind.DELIVERY and reason.code != LEASE_EXPIRED
    if is_refused and job.age_hours >= limits.delivery_give_up_hours:
        return Reason(
            "delivery-expired",
            f"Destination {job.destination} did not take the result within {limits.delivery_give_up_hours:g} hours, "
            f"so the delivery was given up; resubmit it when the destination works. "
            f"The last attempt said: {reason.sentence}",
        )
    return None
