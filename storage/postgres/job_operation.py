"""What an operator may do about work: stop it, have it done sooner, again, or after all."""

from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.delivery import DeliveryState
from storage.domain.job import FINAL_STATES, PRIORITY_RANK, TRANSITIONS, JobEvent, JobKind, JobState, Priority, Reason
from storage.domain.route import Routes, Urgency
from storage.errors import InvalidTransition, UnknownRecord
from storage.postgres.audit_trail import append
from storage.postgres.held_job import HeldJob, move
from storage.postgres.inference_schedule import schedule_inference
from storage.postgres.study_ways import ways_of
from storage.postgres.tables import DeliveryRow, InstanceRow, JobRow, StudyRevisionRow, StudyRow
from storage.postgres.turns import next_turn, source_of
from storage.postgres.work_signal import announce_work

_ASKED_FOR = "An operator asked for it."
_CANCELED = Reason("canceled", "An operator canceled the job; resubmit it to have the work done after all.")


def cancel(session: Session, job_id: int, actor: str) -> None:
    """Stop a job; its worker, if any, finds its lease gone.

    Raises:
        UnknownRecord: no such job.
        InvalidTransition: it has already ended.
    """
    row = _locked(session, job_id)
    job = HeldJob(
        job_id=job_id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        priority=Priority(row.priority),
        shadow=row.shadow,
        study_id=row.study_id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        attempt=row.attempt,
        destination=row.destination or "",
        worker=row.worker or "",
        age_hours=0.0,
    )
    move(session, job, JobEvent.CANCEL, AuditAction.JOB_CANCELED, actor, reason=_CANCELED)
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.job_id == job_id, DeliveryRow.state == str(DeliveryState.WAITING))
        .values(state=str(DeliveryState.CANCELED))
    )


def resubmit(session: Session, job_id: int, actor: str, *, everything: bool = True) -> int:
    """Schedule a new job for the work of one that has ended, naming it as predecessor; return the new job's id.

    A delivery that failed or was canceled sends what is still owed; one that was completed sends everything
    again, byte for byte, unless not ``everything`` is wanted: then no delivery changes its state here, and the caller
    says what is owed again. A notice makes its report again where none was sent.

    Raises:
        UnknownRecord: no such job.
        InvalidTransition: it has not ended, was resubmitted before, or its study is parked.
    """
    old = _locked(session, job_id)
    _check_resubmittable(session, old)
    new_id = session.execute(
        insert(JobRow)
        .values(
            predecessor_id=old.id,
            kind=old.kind,
            priority=old.priority,
            priority_because=old.priority_because,
            shadow=old.shadow,
            study_id=old.study_id,
            revision=old.revision,
            algorithm_id=old.algorithm_id,
            result_id=old.result_id,
            destination=old.destination,
            about_id=old.about_id,
            **_place_in_line(session, old),
        )
        .returning(JobRow.id)
    ).scalar_one()
    _take_over_deliveries(session, old, new_id)
    if everything:
        _owe_again(session, old, new_id)
    details: dict[str, str | int | float | None] = {"kind": old.kind, "predecessor_id": old.id}
    append(
        session,
        AuditEvent(AuditAction.JOB_SCHEDULED, actor, AuditOutcome.SUCCESS, old.study_instance_uid, new_id, details),
    )
    announce_work(session, JobKind(old.kind))
    return new_id


def prioritise(session: Session, job_id: int, priority: Priority, actor: str, because: str = _ASKED_FOR) -> None:
    """Give a job that waits another priority; an inference gets a turn in the line of that one.

    What the job makes, such as deliveries, has its priority too. One that becomes more urgent waits for its next
    attempt no longer. One that has the priority already is left as it is.

    Raises:
        UnknownRecord: no such job.
        InvalidTransition: it does not wait any more, or it runs in shadow.
    """
    row = _locked(session, job_id)
    if row.shadow:
        raise InvalidTransition(f"Job {job_id} runs in shadow, which comes after all other work.")
    if (JobState(row.state), JobEvent.PRIORITISE) not in TRANSITIONS:
        raise InvalidTransition(f"Job {job_id} is {row.state}; only one that waits can be given another priority.")
    if Priority(row.priority) is priority:
        return
    place: dict[str, Any] = {}
    if PRIORITY_RANK[priority] < PRIORITY_RANK[Priority(row.priority)]:
        place["due_at"] = func.least(JobRow.due_at, func.now())
    if JobKind(row.kind) is JobKind.INFERENCE:
        place["turn"] = next_turn(session, row.source, priority, shadow=False)
    session.execute(
        update(JobRow).where(JobRow.id == job_id).values(priority=str(priority), priority_because=because, **place)
    )
    details: dict[str, str | int | float | None] = {
        "kind": row.kind,
        "before": row.priority,
        "priority": str(priority),
    }
    event = AuditEvent(
        AuditAction.JOB_PRIORITISED, actor, study_instance_uid=row.study_instance_uid, job_id=job_id, details=details
    )
    append(session, event)
    announce_work(session, JobKind(row.kind))


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to be analysed, by which algorithms and how urgently; what is left out is as the study's route says."""

    study_instance_uid: str
    algorithms: frozenset[str] = frozenset()
    priority: Priority | None = None


def submit(session: Session, wanted: Submission, routes: Routes, actor: str) -> list[int]:
    """Schedule the active algorithms that have no job yet on a study's newest revision, and the shadows.

    Return the new jobs' ids.

    Raises:
        UnknownRecord: no such study.
        InvalidTransition: it is parked, still being received or without an image, or there is nothing left to schedule.
    """
    study_instance_uid = wanted.study_instance_uid
    study = session.execute(
        select(StudyRow.id, StudyRow.revision, StudyRow.parked_at)
        .where(StudyRow.study_instance_uid == study_instance_uid)
        .with_for_update()
    ).one_or_none()
    if study is None:
        raise UnknownRecord(f"No study {study_instance_uid} is known; `overread status` shows those there are.")
    if study.parked_at is not None:
        raise InvalidTransition(f"Study {study_instance_uid} is parked, so no work on it is scheduled.")
    if study.revision == 0:
        _say_why_no_revision(session, study.id, study_instance_uid)
    ways = ways_of(session, study.id, study.revision)
    routed = routes.algorithms(ways)
    names = wanted.algorithms or routed
    urgency = routes.urgency(ways) if wanted.priority is None else Urgency(wanted.priority, _ASKED_FOR)
    jobs = schedule_inference(session, study.id, study_instance_uid, study.revision, actor, names, urgency)
    if not jobs.active and not jobs.shadow:
        raise InvalidTransition(_nothing_left(wanted, routed))
    if jobs.active:
        session.execute(
            update(StudyRevisionRow)
            .where(StudyRevisionRow.study_id == study.id, StudyRevisionRow.revision == study.revision)
            .values(reason_code=None, reason_sentence=None)
        )
    return [*jobs.active, *jobs.shadow]


def _nothing_left(wanted: Submission, routed: frozenset[str] | None) -> str:
    uid = wanted.study_instance_uid
    again = "or do a job again with `overread jobs resubmit`"
    if wanted.algorithms:
        names = ", ".join(sorted(wanted.algorithms))
        return f"None of {names} is active without a job on study {uid}; see `overread algorithms list`, {again}."
    if routed is not None:
        names = ", ".join(sorted(routed))
        return (
            f"Study {uid} came by a route that leads to {names} only, and none of these is active without a job on it; "
            f"name another with --algorithm, {again}."
        )
    return (
        f"No active algorithm is left that has no job on study {uid}; install one with `overread algorithms add "
        f"FOLDER`, {again}."
    )


def _say_why_no_revision(session: Session, study_id: int, study_instance_uid: str) -> NoReturn:
    arriving = session.scalar(
        select(InstanceRow.id).where(InstanceRow.study_id == study_id, InstanceRow.excluded_rule.is_(None)).limit(1)
    )
    if arriving is None:
        raise InvalidTransition(f"Study {study_instance_uid} holds nothing to analyse; send its images.")
    raise InvalidTransition(f"Study {study_instance_uid} is still being received; it is analysed by itself.")


def _locked(session: Session, job_id: int) -> Any:  # noqa: ANN401 - a row of the columns below
    row: Any = session.execute(
        select(*JobRow.__table__.columns, StudyRow.study_instance_uid, StudyRow.parked_at.is_not(None).label("parked"))
        .join(StudyRow, StudyRow.id == JobRow.study_id)
        .where(JobRow.id == job_id)
        .with_for_update(of=JobRow)
    ).one_or_none()
    if row is None:
        raise UnknownRecord(f"No job {job_id} is known; `overread jobs list` shows those there are.")
    return row


def _check_resubmittable(session: Session, old: Any) -> None:  # noqa: ANN401
    if JobState(old.state) not in FINAL_STATES:
        raise InvalidTransition(f"Job {old.id} is {old.state}; only one that has ended can be resubmitted.")
    if old.parked:
        raise InvalidTransition(f"The study of job {old.id} is parked, so no further work on it is scheduled.")
    successor = session.scalar(select(JobRow.id).where(JobRow.predecessor_id == old.id))
    if successor is not None:
        raise InvalidTransition(f"Job {old.id} was already resubmitted as job {successor}; look at that one.")


def _place_in_line(session: Session, old: Any) -> dict[str, Any]:  # noqa: ANN401
    if JobKind(old.kind) is not JobKind.INFERENCE:
        return {}
    source = source_of(session, old.study_id, old.revision)
    return {"source": source, "turn": next_turn(session, source, Priority(old.priority), shadow=old.shadow)}


def _take_over_deliveries(session: Session, old: Any, new_id: int) -> None:  # noqa: ANN401
    session.execute(update(DeliveryRow).where(DeliveryRow.job_id == old.id).values(job_id=new_id))


def _owe_again(session: Session, old: Any, new_id: int) -> None:  # noqa: ANN401
    again = update(DeliveryRow).where(DeliveryRow.job_id == new_id)
    if JobState(old.state) is not JobState.COMPLETED:
        again = again.where(DeliveryRow.state != str(DeliveryState.ACKNOWLEDGED))
    session.execute(again.values(state=str(DeliveryState.WAITING), acknowledged_at=None, attempts=0, status=None))
