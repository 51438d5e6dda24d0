"""Cohorts in rows: what they are, where each of their studies stands, and the job that each has."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.cohort import (
    COHORT_CANCELED,
    HOLDS_NO_IMAGE,
    MEMBER_TRANSITIONS,
    NOT_HERE,
    SOURCE,
    Cohort,
    CohortPlan,
    MemberEvent,
    MemberState,
    event_of_job,
    next_member_state,
)
from storage.domain.job import JobKind, JobState, Outcome, Priority, Reason
from storage.errors import CohortBusy, DatabaseUnavailable, InvalidTransition, UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.engine import COHORT_LOCK, Database
from storage.postgres.job_operation import cancel, resubmit
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import AlgorithmRow, CohortMemberRow, CohortRow, JobRow, StudyRow
from storage.postgres.turns import next_turn
from storage.postgres.work_signal import announce_work

_BECAUSE = "The cohort {} asked for it."
_JOB_ENDED = Reason("job-ended", "Its job ended without a reason; `overread explain` tells more.")
_PATIENCE_SECONDS = 2.0  # the server notices a moment later that a run has died
_LOOK_SECONDS = 0.1
_AT_ONCE = 1000  # rows of a table that are in memory


class PostgresCohorts:
    """What `overread cohort` reads and writes; every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def define(self, plan: CohortPlan, actor: str) -> Cohort:
        """Write a cohort down, or find the one of this name that is the same.

        Raises:
            UnknownRecord: there is no such version of the algorithm.
            InvalidTransition: the name stands for another cohort, or results of a version that is not active would
                be delivered.
        """
        with self._database.transaction() as session:
            wanted = (AlgorithmRow.name == plan.algorithm_name, AlgorithmRow.version == plan.algorithm_version)
            algorithm = session.execute(select(AlgorithmRow.id, AlgorithmRow.stage).where(*wanted)).one_or_none()
            if algorithm is None:
                raise UnknownRecord(
                    f"{plan.algorithm_name} {plan.algorithm_version} is not installed; see `overread algorithms list`."
                )
            if plan.deliver and algorithm.stage != "active":
                raise InvalidTransition("Only results of an active version are delivered; leave out --deliver.")
            made = session.execute(
                upsert(CohortRow)
                .values(
                    name=plan.name,
                    archive=plan.archive,
                    query=stored_text(plan.query),
                    algorithm_id=algorithm.id,
                    deliver=plan.deliver,
                    asked_by=stored_text(actor),
                )
                .on_conflict_do_nothing()
                .returning(CohortRow.id)
            ).scalar_one_or_none()
            if made is not None:
                details: dict[str, Any] = {"cohort": plan.name, "algorithm_id": algorithm.id, "archive": plan.archive}
                append(session, AuditEvent(AuditAction.COHORT_CREATED, actor, details=details))
            cohort = _named(session, plan.name)
            if cohort.plan != plan:
                raise InvalidTransition(
                    f"Cohort {plan.name} has another query, list, archive, algorithm or delivery; give this one "
                    "another --name, or go on with that one by its name alone."
                )
            return cohort

    def named(self, name: str) -> Cohort:
        """The cohort of this name. Raises UnknownRecord."""
        with self._database.transaction() as session:
            return _named(session, name)

    def all(self) -> list[Facts]:
        """Every cohort with the count of its studies in each state, newest first."""
        with self._database.transaction() as session:
            return [
                {"name": cohort.plan.name, **_facts(cohort), "states": _counts(session, cohort.cohort_id)}
                for cohort in _cohorts(session)
            ]

    def counts(self, cohort: Cohort) -> dict[MemberState, int]:
        """How many of its studies are in each state."""
        with self._database.transaction() as session:
            return _counts(session, cohort.cohort_id)

    def reasons(self, cohort: Cohort) -> list[Facts]:
        """How many studies ended without a result, by code, and the sentence of one of them."""
        with self._database.transaction() as session:
            count = func.count().label("studies")
            rows = session.execute(
                select(
                    CohortMemberRow.state,
                    CohortMemberRow.reason_code,
                    func.min(CohortMemberRow.reason_sentence).label("sentence"),
                    count,
                )
                .where(CohortMemberRow.cohort_id == cohort.cohort_id, CohortMemberRow.reason_code.is_not(None))
                .group_by(CohortMemberRow.state, CohortMemberRow.reason_code)
                .order_by(count.desc(), CohortMemberRow.reason_code)
            )
            return [dict(row._mapping) for row in rows]

    def list_members(self, cohort: Cohort, study_instance_uids: Collection[str]) -> None:
        """Write down every study of it; the same again changes nothing."""
        uids = sorted(set(study_instance_uids))
        with self._database.transaction() as session:
            for start in range(0, len(uids), _AT_ONCE):
                part = [
                    {"cohort_id": cohort.cohort_id, "study_instance_uid": uid} for uid in uids[start : start + _AT_ONCE]
                ]
                session.execute(upsert(CohortMemberRow).on_conflict_do_nothing(), part)
            session.execute(update(CohortRow).where(CohortRow.id == cohort.cohort_id).values(listed_at=func.now()))

    def take(self, cohort: Cohort) -> str | None:
        """The next study to fetch, one that was being fetched when a run was killed first; ``None`` when none waits."""
        with self._database.transaction() as session:
            for state in (MemberState.FETCHING, MemberState.WAITING):
                uid = session.scalar(
                    select(CohortMemberRow.study_instance_uid)
                    .where(CohortMemberRow.cohort_id == cohort.cohort_id, CohortMemberRow.state == str(state))
                    .order_by(CohortMemberRow.study_instance_uid)
                    .limit(1)
                )
                if uid is not None:
                    if state is MemberState.WAITING:
                        _move(session, cohort, uid, MemberEvent.TAKE)
                    return uid
        return None

    def fail(self, cohort: Cohort, study_instance_uid: str, reason: Reason) -> None:
        """A study that is being fetched cannot be had."""
        with self._database.transaction() as session:
            _move(session, cohort, study_instance_uid, MemberEvent.FAIL, reason=reason)

    def schedule(self, cohort: Cohort, study_instance_uid: str, actor: str) -> None:
        """Give a study that is here its job, or take over one that looks at the same images with the same version."""
        with self._database.transaction() as session:
            study = session.execute(
                select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update()
            ).scalar_one_or_none()
            reason = _obstacle(study)
            if study is None or reason is not None:
                _move(session, cohort, study_instance_uid, MemberEvent.FAIL, reason=reason or NOT_HERE)
                return
            job_id = _job(session, cohort, study, actor)
            _move(session, cohort, study_instance_uid, MemberEvent.SCHEDULE, job_id=job_id)

    def settle(self, cohort: Cohort) -> int:
        """Take over how the jobs of its studies ended; how many did."""
        with self._database.transaction() as session:
            ended = session.execute(statement("cohort_ended_jobs"), {"cohort_id": cohort.cohort_id}).all()
            for row in ended:
                event = event_of_job(JobState(row.state), Outcome(row.outcome) if row.outcome else None)
                if event is None:
                    continue
                told = Reason(row.reason_code, row.reason_sentence) if row.reason_code else _JOB_ENDED
                _move(session, cohort, row.study_instance_uid, event, None if event is MemberEvent.ANALYSE else told)
            return len(ended)

    def retry(self, cohort: Cohort) -> int:
        """Have what failed wait again; how many it were."""
        with self._database.transaction() as session:
            failed = session.scalars(
                select(CohortMemberRow.study_instance_uid).where(
                    CohortMemberRow.cohort_id == cohort.cohort_id, CohortMemberRow.state == str(MemberState.FAILED)
                )
            ).all()
            for uid in failed:
                _move(session, cohort, uid, MemberEvent.RETRY)
            return len(failed)

    def cancel(self, cohort: Cohort, actor: str) -> int:
        """End a cohort: what waits is given up, and jobs that nobody else waits for are canceled; how many studies."""
        with self._database.transaction() as session:
            session.execute(update(CohortRow).where(CohortRow.id == cohort.cohort_id).values(canceled_at=func.now()))
            cancelable = [str(state) for state, event in MEMBER_TRANSITIONS if event is MemberEvent.CANCEL]
            members = session.execute(
                select(CohortMemberRow.study_instance_uid, JobRow.id, JobRow.source, JobRow.state)
                .outerjoin(JobRow, JobRow.id == CohortMemberRow.job_id)
                .where(CohortMemberRow.cohort_id == cohort.cohort_id, CohortMemberRow.state.in_(cancelable))
            ).all()
            for uid, job_id, source, state in members:
                _move(session, cohort, uid, MemberEvent.CANCEL, reason=COHORT_CANCELED)
                ours = source == _source(cohort) and state in (JobState.SCHEDULED, JobState.IN_PROGRESS)
                if ours and not _is_awaited(session, job_id):
                    cancel(session, job_id, actor)
            details: dict[str, Any] = {"cohort": cohort.plan.name, "studies": len(members)}
            append(session, AuditEvent(AuditAction.COHORT_CANCELED, actor, details=details))
            return len(members)

    def findings(self, cohort: Cohort, order_key: bytes = b"") -> Iterator[Facts]:
        """One row for each finding, and one for each study without; read piece by piece.

        Studies come in an order that follows from ``order_key``, a secret, and tells nothing of their UIDs.
        """
        with self._database.transaction() as session:
            rows = session.execute(
                statement("cohort_findings"),
                {"cohort_id": cohort.cohort_id, "order_key": order_key},
                execution_options={"yield_per": _AT_ONCE},
            )
            for row in rows:
                yield dict(row._mapping)

    def note_export(self, cohort: Cohort, actor: str, rows: int, identified: bool) -> None:
        """Somebody wrote the table of a cohort."""
        details: dict[str, Any] = {"cohort": cohort.plan.name, "rows": rows, "identified": str(identified).lower()}
        with self._database.transaction() as session:
            append(session, AuditEvent(AuditAction.COHORT_EXPORTED, actor, details=details))

    @contextmanager
    def running(self, cohort: Cohort) -> Iterator[None]:
        """Within the block nobody else runs it; the server frees it when this process dies.

        Raises:
            CohortBusy: somebody does.
        """
        connection = self._database.dedicated_connection()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        try:
            with connection.cursor() as cursor:
                while not _is_ours(cursor, cohort):
                    if time.monotonic() > deadline:
                        raise CohortBusy
                    time.sleep(_LOOK_SECONDS)
            yield
        except psycopg2.OperationalError as error:
            raise DatabaseUnavailable from error
        finally:
            connection.close()


def _is_ours(cursor: Any, cohort: Cohort) -> bool:  # noqa: ANN401 - psycopg2 ships no types
    cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (COHORT_LOCK, cohort.cohort_id % 2**31))
    return bool(cursor.fetchone()[0])


def _cohorts(session: Session) -> Iterator[Cohort]:
    rows = session.execute(
        select(CohortRow, AlgorithmRow.name, AlgorithmRow.version)
        .join(AlgorithmRow, AlgorithmRow.id == CohortRow.algorithm_id)
        .order_by(CohortRow.id.desc())
    )
    for row, name, version in rows:
        plan = CohortPlan(row.name, name, version, row.archive, row.query, row.deliver)
        yield Cohort(row.id, plan, row.listed_at is not None, row.canceled_at is not None)


def _named(session: Session, name: str) -> Cohort:
    for cohort in _cohorts(session):
        if cohort.plan.name == name:
            return cohort
    raise UnknownRecord(f"No cohort {name} is known; `overread cohort list` shows those there are.")


def _facts(cohort: Cohort) -> Facts:
    plan = cohort.plan
    return {
        "algorithm": f"{plan.algorithm_name} {plan.algorithm_version}",
        "archive": plan.archive or None,
        "query": plan.query or None,
        "deliver": plan.deliver,
        "listed": cohort.listed,
        "canceled": cohort.canceled,
    }


def _counts(session: Session, cohort_id: int) -> dict[MemberState, int]:
    rows = session.execute(
        select(CohortMemberRow.state, func.count())
        .where(CohortMemberRow.cohort_id == cohort_id)
        .group_by(CohortMemberRow.state)
    )
    known = {MemberState(state): count for state, count in rows}
    return {state: known.get(state, 0) for state in MemberState}


def _move(
    session: Session,
    cohort: Cohort,
    study_instance_uid: str,
    event: MemberEvent,
    reason: Reason | None = None,
    job_id: int | None = None,
) -> None:
    """Follow the table; a study that somebody else moved meanwhile is refused."""
    member = session.execute(
        select(CohortMemberRow)
        .where(CohortMemberRow.cohort_id == cohort.cohort_id, CohortMemberRow.study_instance_uid == study_instance_uid)
        .with_for_update()
    ).scalar_one()
    member.state = str(next_member_state(MemberState(member.state), event))
    member.reason_code = reason.code if reason else None
    member.reason_sentence = stored_text(reason.sentence) if reason else None
    member.job_id = member.job_id if job_id is None else job_id
    member.changed_at = func.now()
    session.flush()


def _obstacle(study: StudyRow | None) -> Reason | None:
    if study is None:
        return NOT_HERE
    if study.parked_code is not None:
        return Reason(study.parked_code, study.parked_sentence or "The study is parked.")
    return HOLDS_NO_IMAGE if study.revision == 0 else None


def _source(cohort: Cohort) -> str:
    """Whose turn its jobs have; no AE title is so long, and no account has a space."""
    return f"{SOURCE}{cohort.plan.name}"


def _is_awaited(session: Session, job_id: int) -> bool:
    analysing = CohortMemberRow.state == str(MemberState.ANALYSING)
    return session.scalar(select(CohortMemberRow.job_id).where(CohortMemberRow.job_id == job_id, analysing)) is not None


def _job(session: Session, cohort: Cohort, study: StudyRow, actor: str) -> int:
    """The job whose end is that of the study; a result that exists already is taken as it is."""
    algorithm_id = session.execute(select(CohortRow.algorithm_id).where(CohortRow.id == cohort.cohort_id)).scalar_one()
    shadow = not cohort.plan.deliver
    bounds = {"study_id": study.id, "algorithm_id": algorithm_id, "deliver": cohort.plan.deliver}
    known = session.execute(statement("cohort_jobs"), bounds).all()
    for job in known:
        if job.state not in (JobState.FAILED, JobState.CANCELED):
            return int(job.id)
    for job in known:
        if job.shadow is shadow:
            return _again(session, cohort, job.id, actor)
    source = _source(cohort)
    job_id = int(
        session.execute(
            statement("cohort_job"),
            {
                **{"study_id": study.id, "revision": study.revision, "algorithm_id": algorithm_id, "shadow": shadow},
                "because": _BECAUSE.format(cohort.plan.name),
                "source": source,
                "turn": next_turn(session, source, Priority.LOW, shadow=shadow),
            },
        ).scalar_one()
    )
    details: dict[str, Any] = {
        "kind": str(JobKind.INFERENCE),
        "revision": study.revision,
        "algorithm_id": algorithm_id,
        "priority": str(Priority.LOW),
        "cohort": cohort.plan.name,
    }
    scheduled = AuditEvent(
        AuditAction.JOB_SCHEDULED, actor, study_instance_uid=study.study_instance_uid, job_id=job_id, details=details
    )
    append(session, scheduled)
    announce_work(session, JobKind.INFERENCE)
    return job_id


def _again(session: Session, cohort: Cohort, job_id: int, actor: str) -> int:
    """A job that ended without a result, once more: at low priority and for this cohort, whoever asked for it then."""
    new_id, source = resubmit(session, job_id, actor), _source(cohort)
    ours = {
        "priority": str(Priority.LOW),
        "priority_because": _BECAUSE.format(cohort.plan.name),
        "source": source,
        "turn": next_turn(session, source, Priority.LOW, shadow=not cohort.plan.deliver),
    }
    session.execute(update(JobRow).where(JobRow.id == new_id).values(ours))
    return new_id
