"""A result, its inputs, its evidence and the deliveries it owes, written in the job's own transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import func, insert, literal, select
from sqlalchemy.orm import Session

from storage.domain.algorithm import AlgorithmStage
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.job import JobKind
from storage.domain.result import FrozenFile, NewResult, stand_ins
from storage.errors import UnknownRecord
from storage.postgres.audit_trail import append
from storage.postgres.engine import EVIDENCE_LOCK
from storage.postgres.held_job import HeldJob
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import DeliveryRow, EvidenceRow, InstanceRow, JobRow, ResultInputRow, ResultRow
from storage.postgres.work_signal import announce_work


def store_result(
    session: Session, job: HeldJob, result: NewResult, files: Sequence[FrozenFile], pictures: Sequence[tuple[str, str]]
) -> int:
    """Write the result with its evidence, which is kept as these files, and return its id.

    ``pictures`` are the titles and digests of its frozen pictures.

    Raises:
        UnknownRecord: the result claims an input that the job's revision of the study does not hold, or to follow one
            that is of no earlier revision.
    """
    _require_predecessor(session, job, result.predecessor_id)
    result_id = session.execute(
        insert(ResultRow)
        .values(
            job_id=job.job_id,
            series_instance_uid=result.series_instance_uid,
            artifact_sha256=result.artifact_sha256,
            execution_provider=result.execution_provider,
            findings=[asdict(finding) for finding in result.findings],
            report_text=stored_text(result.report_text),
            pictures=[{"sha256": sha256, "title": stored_text(title)} for title, sha256 in pictures],
            predecessor_id=result.predecessor_id,
        )
        .returning(ResultRow.id)
    ).scalar_one()
    _store_inputs(session, job, result_id, set(result.input_sop_instance_uids))
    _store_evidence(session, job, result_id, result, files)
    details: dict[str, str | int | float | None] = {
        "result_id": result_id,
        "artifact_sha256": result.artifact_sha256,
        "execution_provider": result.execution_provider,
        "inputs": len(set(result.input_sop_instance_uids)),
        "evidence": len(result.evidence),
    }
    if job.shadow:
        details["stage"] = str(AlgorithmStage.SHADOW)
    append(
        session,
        AuditEvent(
            AuditAction.RESULT_STORED,
            job.worker,
            study_instance_uid=job.study_instance_uid,
            job_id=job.job_id,
            details=details,
        ),
    )
    return result_id


def _require_predecessor(session: Session, job: HeldJob, predecessor_id: int | None) -> None:
    asked = {"job_id": job.job_id, "predecessor_id": predecessor_id}
    if predecessor_id is not None and not session.execute(statement("may_follow"), asked).scalar_one():
        raise UnknownRecord(
            f"The result of job {job.job_id} claims to follow result {predecessor_id}, which is of no earlier revision "
            "of its study; nothing was stored."
        )


def _store_inputs(session: Session, job: HeldJob, result_id: int, claimed: set[str]) -> None:
    held = select(literal(result_id), InstanceRow.id).where(
        InstanceRow.sop_instance_uid.in_(claimed),
        InstanceRow.study_id == job.study_id,
        InstanceRow.revision <= job.revision,
    )
    written = session.execute(
        insert(ResultInputRow).from_select(["result_id", "instance_id"], held).returning(ResultInputRow.instance_id)
    ).all()
    if len(written) != len(claimed):
        raise UnknownRecord(
            f"The result of job {job.job_id} claims {len(claimed)} inputs of which revision {job.revision} of the "
            f"study holds {len(written)}; nothing was stored."
        )


def _store_evidence(
    session: Session, job: HeldJob, result_id: int, result: NewResult, files: Sequence[FrozenFile]
) -> None:
    """Write the evidence; an SOP Instance UID frozen before, by whatever job, keeps the bytes it had first."""
    # Jobs on two revisions of a study may freeze the same UIDs at once; the second has to see the first one's rows.
    session.execute(select(func.pg_advisory_xact_lock(EVIDENCE_LOCK, func.hashtext(job.study_instance_uid))))
    first = {
        row.sop_instance_uid: (row.sha256, row.size)
        for row in session.execute(
            select(EvidenceRow.sop_instance_uid, EvidenceRow.sha256, EvidenceRow.size)
            .where(EvidenceRow.sop_instance_uid.in_([thing.sop_instance_uid for thing in result.evidence]))
            .order_by(EvidenceRow.id.desc())
        )
    }
    repeating = stand_ins(thing.form for thing in result.evidence)
    rows = []
    for thing, file in zip(result.evidence, files, strict=True):
        sha256, size = first.get(thing.sop_instance_uid, (file.sha256, file.size))
        rows.append(
            {
                "result_id": result_id,
                "role": str(thing.role),
                "form": str(thing.form),
                "stands_in": thing.form in repeating,
                "sop_class_uid": thing.sop_class_uid,
                "sop_instance_uid": thing.sop_instance_uid,
                "series_instance_uid": thing.series_instance_uid,
                "transfer_syntax_uid": thing.transfer_syntax_uid,
                "sha256": sha256,
                "size": size,
            }
        )
    if rows:
        session.execute(insert(EvidenceRow), rows)


def schedule_deliveries(session: Session, job: HeldJob, result_id: int, destinations: Sequence[str]) -> None:
    """One delivery job per destination, and one delivery per evidence object and destination."""
    evidence = session.scalars(select(EvidenceRow.id).where(EvidenceRow.result_id == result_id)).all()
    for destination in dict.fromkeys(destinations):
        delivery_job = session.execute(
            insert(JobRow)
            .values(
                kind=str(JobKind.DELIVERY),
                priority=str(job.priority),
                study_id=job.study_id,
                revision=job.revision,
                result_id=result_id,
                destination=destination,
            )
            .returning(JobRow.id)
        ).scalar_one()
        if evidence:
            session.execute(
                insert(DeliveryRow),
                [{"evidence_id": one, "destination": destination, "job_id": delivery_job} for one in evidence],
            )
        append(
            session,
            AuditEvent(
                AuditAction.JOB_SCHEDULED,
                job.worker,
                study_instance_uid=job.study_instance_uid,
                job_id=delivery_job,
                details={"kind": str(JobKind.DELIVERY), "destination": destination, "result_id": result_id},
            ),
        )
    if destinations:
        announce_work(session, JobKind.DELIVERY)
