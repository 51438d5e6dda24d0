"""Scheduling algorithms on one revision of a study: the active ones, and those that run in their shadow."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from storage.domain.algorithm import AlgorithmStage
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.job import JobKind, Priority
from storage.domain.route import Urgency
from storage.postgres.audit_trail import append
from storage.postgres.statement import statement
from storage.postgres.turns import next_turn, source_of
from storage.postgres.work_signal import announce_work

_ROUTINE = Urgency()
_OF_SHADOWS = Urgency(Priority.LOW)


@dataclass(frozen=True, slots=True)
class ScheduledInference:
    """The ids of the jobs that were made, of active algorithms and of shadows; only the former promise anything."""

    active: list[int]
    shadow: list[int]


def schedule_inference(
    session: Session,
    study_id: int,
    study_instance_uid: str,
    revision: int,
    actor: str,
    algorithms: frozenset[str] | None = None,
    urgency: Urgency = _ROUTINE,
) -> ScheduledInference:
    """One job per active algorithm that has none on this revision, and one per shadow, each with its audit row.

    ``algorithms`` are the names of those that count, ``None`` lets all. ``urgency`` is that of active ones; shadows
    come after all other work.
    """
    names = None if algorithms is None else sorted(algorithms)
    source = source_of(session, study_id, revision)
    made: dict[AlgorithmStage, list[int]] = {}
    for stage, of_stage in {AlgorithmStage.ACTIVE: urgency, AlgorithmStage.SHADOW: _OF_SHADOWS}.items():
        shadow = stage is AlgorithmStage.SHADOW
        jobs = session.execute(
            statement("schedule_inference"),
            {
                "study_id": study_id,
                "revision": revision,
                "names": names,
                "stage": str(stage),
                "shadow": shadow,
                "priority": str(of_stage.priority),
                "because": of_stage.because,
                "source": source,
                "turn": next_turn(session, source, of_stage.priority, shadow=shadow),
            },
        ).all()
        append(session, *(_scheduled(job, study_instance_uid, revision, stage, of_stage, actor) for job in jobs))
        made[stage] = [job.id for job in jobs]
    if any(made.values()):
        announce_work(session, JobKind.INFERENCE)
    return ScheduledInference(made[AlgorithmStage.ACTIVE], made[AlgorithmStage.SHADOW])


def _scheduled(
    job: Row[Any], study_instance_uid: str, revision: int, stage: AlgorithmStage, urgency: Urgency, actor: str
) -> AuditEvent:
    details: dict[str, str | int | float | None] = {
        "kind": str(JobKind.INFERENCE),
        "revision": revision,
        "algorithm_id": job.algorithm_id,
    }
    if stage is AlgorithmStage.SHADOW:
        details["stage"] = str(stage)
    else:
        details |= {"priority": str(urgency.priority)} | ({"because": urgency.because} if urgency.because else {})
    return AuditEvent(
        AuditAction.JOB_SCHEDULED, actor, study_instance_uid=study_instance_uid, job_id=job.id, details=details
    )
