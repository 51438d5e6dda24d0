"""Notices: which inference one tells of, and when it has nothing to tell after all."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from storage.domain.job import ClaimedJob, Outcome, Reason, Refusal
from storage.domain.not_analysed import EndedInference
from storage.domain.result import EvidenceObject
from storage.errors import UnknownRecord
from storage.postgres.engine import EVIDENCE_LOCK
from storage.postgres.held_job import HeldJob
from storage.postgres.tables import AlgorithmRow, EvidenceRow, JobRow

_DONE_AGAIN = Reason("done-again", "The analysis was scheduled again, so that its new job speaks for this one.")
_ANALYSED_SINCE = Reason("analysed-since", "The study was analysed by the same algorithm since, so its result speaks.")
_ANALYSED_BEFORE = Reason(
    "analysed-before",
    "The same algorithm analysed an earlier state of the study, so that a report that it did not would contradict its "
    "result; what came since is not analysed.",
)
_ALREADY_TOLD = Reason("already-told", "The same reason was told of the same images before, so there is one report.")


def ended_inference(session: Session, notice: ClaimedJob) -> EndedInference:
    """What a notice tells of. Raises UnknownRecord."""
    about = aliased(JobRow)
    row = session.scalar(select(about).join(JobRow, JobRow.about_id == about.id).where(JobRow.id == notice.job_id))
    if row is None or row.reason_code is None or row.started_at is None:
        raise UnknownRecord(f"Job {notice.job_id} tells of no inference that ended without a result.")
    return EndedInference(
        job_id=row.id,
        started_at=row.started_at,
        reason=Reason(row.reason_code, row.reason_sentence or ""),
        refusals=tuple(
            Refusal(one["series_instance_uid"], Reason(one["code"], one["sentence"])) for one in row.refusals
        ),
    )


def why_not_told(session: Session, notice: HeldJob, about_id: int, evidence: Sequence[EvidenceObject]) -> Reason | None:
    """Why this notice ends without a report, or ``None`` when it is to be stored; no other may be stored meanwhile."""
    session.execute(select(func.pg_advisory_xact_lock(EVIDENCE_LOCK, func.hashtext(notice.study_instance_uid))))
    if session.scalar(select(JobRow.id).where(JobRow.predecessor_id == about_id)) is not None:
        return _DONE_AGAIN
    analysed = _newest_analysed(session, notice, about_id)
    if analysed is not None:
        return _ANALYSED_SINCE if analysed >= notice.revision else _ANALYSED_BEFORE
    uids = [one.sop_instance_uid for one in evidence]
    if session.scalar(select(EvidenceRow.id).where(EvidenceRow.sop_instance_uid.in_(uids)).limit(1)) is not None:
        return _ALREADY_TOLD
    return None


def _newest_analysed(session: Session, notice: HeldJob, about_id: int) -> int | None:
    """The newest revision of the study of which the algorithm, in whatever version, has a result."""
    name = (
        select(AlgorithmRow.name)
        .join(JobRow, JobRow.algorithm_id == AlgorithmRow.id)
        .where(JobRow.id == about_id)
        .scalar_subquery()
    )
    return session.scalar(
        select(func.max(JobRow.revision))
        .join(AlgorithmRow, AlgorithmRow.id == JobRow.algorithm_id)
        .where(
            JobRow.study_id == notice.study_id,
            JobRow.outcome == str(Outcome.ANALYSED),
            JobRow.shadow.is_(False),
            AlgorithmRow.name == name,
        )
    )
