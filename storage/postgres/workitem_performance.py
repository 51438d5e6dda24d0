"""Performing the workitems that are ours: each look is one transaction, and everything it does is in rows.

A workitem begins when its study is complete, its state follows the jobs of its algorithms, and it ends with them. A
look that is cut short is done again; one that finds nothing new changes nothing.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storage.domain.job import FINAL_STATES, PRIORITY_RANK, JobState, Outcome
from storage.domain.not_analysed import OTHER_KIND
from storage.domain.route import Urgency
from storage.domain.workitem import PRIORITIES, DataSet, WorkitemPriority, WorkitemState
from storage.domain.workitem_attributes import (
    EQUIPMENT_FAILURE,
    EXPIRED,
    PROGRESS,
    SET_INCOMPLETE,
    TYPES_NOT_SUPPORTED,
    UNSPECIFIED,
    instances_of,
    is_of_patient,
    is_ready,
    performed,
    progress,
)
from storage.errors import InvalidTransition
from storage.postgres import job_operation
from storage.postgres.engine import Database
from storage.postgres.inference_schedule import schedule_inference
from storage.postgres.statement import statement
from storage.postgres.tables import EvidenceRow, InstanceRow, StudyRevisionRow, StudyRow
from storage.postgres.workitem_changes import cancel, claim, complete, own_lock, set_attributes
from storage.postgres.workitem_tables import WorkitemJobRow, WorkitemRow

ACTOR = "worklist"
_BECAUSE = "A workitem asks for it."
_OTHER_PATIENT = "The study is of another patient than the workitem names."
_PARKED = "The study is held back by a rule, so no work on it is scheduled."
_EXPIRED = "Its study did not come, or was not complete, within [ups] wait_hours of its creation."


def workitems_to_perform(database: Database, wait_seconds: float) -> list[int]:
    """The workitems that are worth a look, by the identifiers of their rows.

    Raises:
        DatabaseUnavailable: try again later.
    """
    with database.transaction() as session:
        return list(session.execute(statement("workitems_to_perform"), {"wait_seconds": wait_seconds}).scalars())


def perform(database: Database, workitem_id: int, wait_seconds: float) -> WorkitemState | None:
    """Take the next step with one workitem; its new state, or ``None`` where it stays in its state.

    Raises:
        DatabaseUnavailable: nothing was changed.
    """
    with database.transaction() as session:
        row = session.scalar(select(WorkitemRow).where(WorkitemRow.id == workitem_id).with_for_update(skip_locked=True))
        if row is None:
            return None
        before = row.state
        if row.state == WorkitemState.SCHEDULED:
            _begin(session, row, wait_seconds)
        elif row.state == WorkitemState.IN_PROGRESS:
            follow(session, row)
        return None if row.state == before else WorkitemState(row.state)


def follow(session: Session, row: WorkitemRow) -> None:
    """Tell how far the jobs of a workitem in progress are, and end it with them; the caller has locked its row."""
    jobs = jobs_of(session, row)
    if not jobs:  # somebody else performs it
        return
    ended = [job for job in jobs if JobState(job.state) in FINAL_STATES]
    running = [job.algorithm for job in jobs if job.state == JobState.IN_PROGRESS]
    told = progress(row.attributes, len(ended), len(jobs), running)
    if len(ended) == len(jobs):
        set_attributes(session, row, row.attributes | told | _performed(session, row, jobs))
        _end(session, row, jobs)
    elif told[PROGRESS] != row.attributes.get(PROGRESS):
        set_attributes(session, row, row.attributes | told)


def jobs_of(session: Session, row: WorkitemRow) -> Sequence[Any]:
    """The jobs that perform it, by the columns of jobs_of_workitem.sql; none where others do."""
    return session.execute(statement("jobs_of_workitem"), {"workitem_id": row.id}).all()


def cancel_jobs(session: Session, row: WorkitemRow, actor: str) -> None:
    """Cancel the jobs that were made for this workitem and that nobody else waits for; the others go on."""
    for job in jobs_of(session, row):
        if job.made and not job.shared and JobState(job.state) not in FINAL_STATES:
            job_operation.cancel(session, job.id, actor)


def _begin(session: Session, row: WorkitemRow, wait_seconds: float) -> None:
    study = session.scalar(
        select(StudyRow).where(StudyRow.study_instance_uid == row.study_instance_uid).with_for_update()
    )
    if study is not None and study.parked_at is not None:
        _give_up(session, row, UNSPECIFIED, _PARKED)
    elif study is not None and not is_of_patient(row.attributes, study.patient_id, study.issuer_of_patient_id):
        _give_up(session, row, UNSPECIFIED, _OTHER_PATIENT)
    elif study is not None and _has_its_input(session, row, study):
        _bind(session, row, study)
    elif session.scalar(select(row.created_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, wait_seconds))):
        _give_up(session, row, EXPIRED, _EXPIRED)


def _has_its_input(session: Session, row: WorkitemRow, study: StudyRow) -> bool:
    if study.revision == 0 or study.unsettled_since is not None or not is_ready(row.attributes):
        return False
    named = instances_of(row.attributes)
    held = select(func.count(InstanceRow.id)).where(
        InstanceRow.study_id == study.id, InstanceRow.sop_instance_uid.in_(named)
    )
    return not named or session.scalar(held) == len(named)


def _bind(session: Session, row: WorkitemRow, study: StudyRow) -> None:
    """Claim it, and have a job for each of its algorithms: the one that there is, or a new one."""
    found = {name: _newest(session, study, name) for name in row.algorithms}
    missing = _missing(row, found)
    if missing:
        _give_up(session, row, UNSPECIFIED, missing)
        return
    priority = PRIORITIES[WorkitemPriority(row.priority)]
    new = frozenset(name for name, algorithm in found.items() if algorithm.job_id is None)
    if new:
        urgency = Urgency(priority, _BECAUSE)
        schedule_inference(session, study.id, study.study_instance_uid, study.revision, ACTOR, new, urgency)
        session.execute(
            update(StudyRevisionRow)
            .where(StudyRevisionRow.study_id == study.id, StudyRevisionRow.revision == study.revision)
            .values(reason_code=None, reason_sentence=None)
        )
    claim(session, row, own_lock(), ACTOR)
    for name, algorithm in found.items():
        job_id, made = (_newest(session, study, name).job_id, True) if name in new else (algorithm.job_id, False)
        if algorithm.state in (JobState.FAILED, JobState.CANCELED):
            job_id, made = job_operation.resubmit(session, job_id, ACTOR), True
        if name not in new and algorithm.priority_rank > PRIORITY_RANK[priority]:
            with contextlib.suppress(InvalidTransition):  # a worker has it, so there is nothing to hasten
                job_operation.prioritise(session, job_id, priority, ACTOR, _BECAUSE)
        session.execute(insert(WorkitemJobRow).values(workitem_id=row.id, algorithm=name, job_id=job_id, made=made))
    follow(session, row)


def _newest(session: Session, study: StudyRow, name: str) -> Any:  # noqa: ANN401 - columns of newest_inference.sql
    wanted = {"study_id": study.id, "revision": study.revision, "name": name}
    return session.execute(statement("newest_inference"), wanted).one_or_none()


def _missing(row: WorkitemRow, found: dict[str, Any]) -> str:
    """Why it cannot be performed with the algorithms that there are; empty where it can."""
    for name, algorithm in found.items():
        if algorithm is None:
            return f"No active algorithm has the name {name}; `overread algorithms list` shows those there are."
        if row.algorithm_version not in ("", algorithm.version):
            return f"The active version of {name} is {algorithm.version}, not {row.algorithm_version}."
    return ""


def _performed(session: Session, row: WorkitemRow, jobs: Sequence[Any]) -> DataSet:
    """The performed procedure with every object that was made, in the order in which they are delivered."""
    results = [job.result_id for job in jobs if job.outcome == Outcome.ANALYSED]
    evidence = session.execute(
        select(EvidenceRow.series_instance_uid, EvidenceRow.sop_class_uid, EvidenceRow.sop_instance_uid)
        .where(EvidenceRow.result_id.in_(results), EvidenceRow.stands_in.is_(False))
        .order_by(EvidenceRow.result_id, EvidenceRow.id)
    )
    output: dict[str, list[tuple[str, str]]] = {}
    for series_instance_uid, sop_class_uid, sop_instance_uid in evidence:
        output.setdefault(series_instance_uid, []).append((sop_class_uid, sop_instance_uid))
    began = min((job.started_at for job in jobs if job.started_at), default=row.claimed_at)
    ended = max(job.finished_at for job in jobs)
    return performed(row.attributes, row.study_instance_uid, began or ended, ended, output)


def _end(session: Session, row: WorkitemRow, jobs: Sequence[Any]) -> None:
    """COMPLETED where every algorithm has its result, else CANCELED for the reason of the first that has none."""
    without = next((job for job in jobs if job.outcome != Outcome.ANALYSED), None)
    if without is None:
        complete(session, row, ACTOR)
    else:
        cancel(session, row, _reason(without), f"{without.algorithm}: {without.reason_sentence}", ACTOR)


def _reason(job: Any) -> DataSet:  # noqa: ANN401 - columns of jobs_of_workitem.sql
    """The code of CID 9300 that comes nearest."""
    if job.state == JobState.FAILED:
        return EQUIPMENT_FAILURE
    if job.state == JobState.CANCELED:
        return UNSPECIFIED
    codes = {refusal["code"] for refusal in job.refusals}
    return TYPES_NOT_SUPPORTED if codes <= OTHER_KIND else SET_INCOMPLETE


def _give_up(session: Session, row: WorkitemRow, reason: DataSet, sentence: str) -> None:
    """From SCHEDULED to CANCELED, over IN PROGRESS (PS3.4 section CC.1.1)."""
    claim(session, row, own_lock(), ACTOR)
    cancel(session, row, reason, sentence, ACTOR)
