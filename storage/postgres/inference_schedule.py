"""Scheduling the active algorithms on one revision of a study."""

from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.job import JobKind, Priority
from storage.postgres.audit_trail import append
from storage.postgres.statement import statement
from storage.postgres.turns import next_turn, source_of
from storage.postgres.work_signal import announce_work


def schedule_inference(
    session: Session,
    study_id: int,
    study_instance_uid: str,
    revision: int,
    actor: str,
    algorithms: frozenset[str] | None = None,
) -> list[int]:
    """One job per active algorithm that has none on this revision, with its audit row; return their ids.

    ``algorithms`` are the names of those that count, ``None`` lets all.
    """
    source = source_of(session, study_id, revision)
    jobs = session.execute(
        statement("schedule_inference"),
        {
            "study_id": study_id,
            "revision": revision,
            "names": None if algorithms is None else sorted(algorithms),
            "priority": str(Priority.ROUTINE),
            "source": source,
            "turn": next_turn(session, source, Priority.ROUTINE),
        },
    ).all()
    append(
        session,
        *(
            AuditEvent(
                AuditAction.JOB_SCHEDULED,
                actor,
                study_instance_uid=study_instance_uid,
                job_id=job.id,
                details={"kind": str(JobKind.INFERENCE), "revision": revision, "algorithm_id": job.algorithm_id},
            )
            for job in jobs
        ),
    )
    if jobs:
        announce_work(session, JobKind.INFERENCE)
    return [job.id for job in jobs]
