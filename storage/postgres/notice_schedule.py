"""Owing the "Not analysed" report on an inference."""

from sqlalchemy import insert, literal, select
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.job import JobKind
from storage.postgres.audit_trail import append
from storage.postgres.tables import JobRow
from storage.postgres.work_signal import announce_work


def schedule_notice(session: Session, about_id: int, study_instance_uid: str, actor: str) -> None:
    """Owe the report on an inference that this transaction ends without a result."""
    columns = ["kind", "priority", "study_id", "revision", "algorithm_id", "about_id"]
    notice_id = session.execute(
        insert(JobRow)
        .from_select(
            columns,
            select(
                literal(str(JobKind.NOTICE)),
                JobRow.priority,
                JobRow.study_id,
                JobRow.revision,
                JobRow.algorithm_id,
                JobRow.id,
            ).where(JobRow.id == about_id),
        )
        .returning(JobRow.id)
    ).scalar_one()
    details: dict[str, str | int | float | None] = {"kind": str(JobKind.NOTICE), "about_job_id": about_id}
    append(
        session,
        AuditEvent(
            AuditAction.JOB_SCHEDULED,
            actor,
            study_instance_uid=study_instance_uid,
            job_id=notice_id,
            details=details,
        ),
    )
    announce_work(session, JobKind.NOTICE)
