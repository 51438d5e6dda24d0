"""The job queue: every change is fenced by the lease token, and its audit row stands in the same transaction."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.delivery import SendOutcome
from storage.domain.earlier_result import EarlierResult, SentObject, StoredReport
from storage.domain.job import PRIORITY_RANK, ClaimedJob, JobEvent, JobKind, Outcome, Priority, Reason, Refusal
from storage.domain.not_analysed import EndedInference, refusal_is_told
from storage.domain.result import ActiveOutline, EvidenceForm, FrozenFile, NewResult
from storage.domain.route import Routes
from storage.errors import InvalidTransition, LeaseLost
from storage.ports.objects import EvidenceStore
from storage.postgres import job_operation
from storage.postgres.audit_trail import append
from storage.postgres.delivery_log import owed, record_outcomes
from storage.postgres.engine import Database
from storage.postgres.held_job import give_back, give_up, hold, move, one_more_child_death
from storage.postgres.notice_schedule import schedule_notice
from storage.postgres.notices import ended_inference, why_not_told
from storage.postgres.result_rows import schedule_deliveries, store_result
from storage.postgres.result_statistics import store_statistics
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.study_ways import ways_of
from storage.postgres.work_signal import WorkSignal
from storage.settings import JobSettings

# A delivery is limited by time, not by count.
_UNLIMITED_ATTEMPTS = 2**31 - 1
_FROZEN_AT_ONCE = 4
_RANKS = sorted(PRIORITY_RANK.values())


class PostgresJobQueue:
    """Implements the port JobQueue; every method may raise DatabaseUnavailable, and then nothing was changed."""

    def __init__(
        self, database: Database, evidence_store: EvidenceStore, jobs: JobSettings, routes: Routes | None = None
    ) -> None:
        self._database = database
        self._routes = routes or Routes()
        self._evidence_store = evidence_store
        self._jobs = jobs
        self._signal = WorkSignal(database)

    def claim(self, kind: JobKind, worker: str) -> ClaimedJob | None:
        """Take the most urgent due job of this kind, spending one attempt; ``None`` when there is none."""
        return self._claim("due_job", worker, {"kind": str(kind)}, kind)

    def claim_delivery(self, worker: str, destination: str) -> ClaimedJob | None:
        """Take the most urgent due delivery to this destination, spending one attempt."""
        return self._claim("due_delivery", worker, {"destination": destination}, JobKind.DELIVERY)

    def claim_stray_delivery(self, worker: str, known: Sequence[str]) -> ClaimedJob | None:
        """Take a due delivery to a destination that is none of the ``known``, spending one attempt."""
        return self._claim("due_stray_delivery", worker, {"known": list(known)}, JobKind.DELIVERY)

    def _claim(self, name: str, worker: str, which: dict[str, Any], kind: JobKind) -> ClaimedJob | None:
        with self._database.transaction() as session:
            due = session.scalar(statement(name), which | {"ranks": _RANKS})
            if due is None:
                return None
            taken = {"job_id": due, "worker": stored_text(worker), "lease_seconds": self._jobs.lease_seconds}
            row = session.execute(statement("take_job"), taken).one()
            limit = _UNLIMITED_ATTEMPTS if kind is JobKind.DELIVERY else self._jobs.max_attempts
            job = ClaimedJob(**dict(row._mapping) | {"kind": kind, "max_attempts": limit})
            append(
                session,
                AuditEvent(
                    AuditAction.JOB_CLAIMED,
                    worker,
                    study_instance_uid=job.study_instance_uid,
                    job_id=job.job_id,
                    details={"kind": str(kind), "attempt": job.attempt},
                ),
            )
            return job

    def wait_for_work(self, kind: JobKind, timeout: float, destination: str = "") -> None:
        """Return when a job of this kind may have become due, at the latest after ``timeout`` seconds; never raises.

        With a ``destination``, what is due for others ends no wait.
        """
        self._signal.wait(kind, timeout, destination)

    def renew(self, job: ClaimedJob) -> None:
        """Ask for another lease period. Raises LeaseLost."""
        with self._database.transaction() as session:
            renewed = session.execute(
                statement("renew_lease"),
                {
                    "job_id": job.job_id,
                    "lease_token": job.lease_token,
                    "lease_seconds": self._jobs.lease_seconds,
                },
            ).one_or_none()
            if renewed is None:
                raise LeaseLost

    def complete_analysed(self, job: ClaimedJob, result: NewResult, destinations: Sequence[str]) -> int:
        """Freeze evidence and pictures, store the result, schedule a delivery per destination; return the result's id.

        Of a shadow's result the findings are stored and nothing else: what does not exist cannot be sent or found.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
            UnknownRecord: the result claims inputs that its revision does not hold; nothing was changed.
        """
        began = time.monotonic()
        if job.shadow:
            result, destinations = replace(result, evidence=(), pictures=()), ()
        # Bytes first: a row is a promise that the file is there. Files without a row are harmless.
        frozen = self._frozen([*(thing.pieces for thing in result.evidence), *([one.png] for one in result.pictures)])
        files, drawn = frozen[: len(result.evidence)], frozen[len(result.evidence) :]
        pictures = [(one.title, file.sha256) for one, file in zip(result.pictures, drawn, strict=True)]
        with self._database.transaction() as session:
            held = hold(session, job)
            result_id = store_result(session, held, result, files, pictures)
            if result.statistics is not None:
                store_statistics(session, held.job_id, result_id, result.statistics, time.monotonic() - began)
            ways = ways_of(session, held.study_id, held.revision)
            schedule_deliveries(session, held, result_id, self._routes.destinations(ways, destinations))
            move(
                session,
                held,
                JobEvent.COMPLETE,
                AuditAction.JOB_COMPLETED,
                held.worker,
                result=Outcome.ANALYSED,
                refusals=_rows(result.other_series),
            )
            return result_id

    def _frozen(self, contents: Sequence[Iterable[bytes]]) -> list[FrozenFile]:
        """Freeze several at a time: each waits twice for the disk, which brings what many wait for to rest together."""
        with ThreadPoolExecutor(_FROZEN_AT_ONCE, "freeze") as together:
            return list(together.map(self._evidence_store.freeze, contents))

    def complete_not_analysed(self, job: ClaimedJob, reason: Reason, refusals: Sequence[Refusal]) -> None:
        """End an inference that found nothing it may analyse, and owe the report on it. Raises LeaseLost."""
        with self._database.transaction() as session:
            held = hold(session, job)
            move(
                session,
                held,
                JobEvent.COMPLETE,
                AuditAction.JOB_COMPLETED,
                held.worker,
                reason=reason,
                result=Outcome.NOT_ANALYSED,
                refusals=_rows(refusals),
            )
            if not held.shadow and refusal_is_told(self._jobs.not_analysed, refusals):
                schedule_notice(session, held.job_id, held.study_instance_uid, held.worker)

    def ended_inference(self, notice: ClaimedJob) -> EndedInference:
        """The inference that a notice tells of. Raises UnknownRecord."""
        with self._database.transaction() as session:
            return ended_inference(session, notice)

    def active_outline(self, shadow: ClaimedJob) -> ActiveOutline | None:
        """What the active version outlined on the same images; ``None`` where it has no result of them yet."""
        asked = {
            "study_instance_uid": shadow.study_instance_uid,
            "revision": shadow.revision,
            "algorithm_name": shadow.algorithm_name,
        }
        with self._database.transaction() as session:
            found = session.execute(statement("active_outline"), asked).one_or_none()
        if found is None:
            return None
        return ActiveOutline(found.version, found.sha256 and self._evidence_store.evidence(found.sha256))

    def earlier_results(self, job: ClaimedJob) -> tuple[EarlierResult, ...]:
        """What the result of this job may follow, newest first; the same at every attempt."""
        with self._database.transaction() as session:
            rows = session.execute(statement("earlier_results"), {"job_id": job.job_id}).mappings().all()
        return tuple(_earlier_result(dict(row)) for row in rows)

    def complete_notice(self, job: ClaimedJob, told: NewResult, destinations: Sequence[str]) -> int | None:
        """Freeze the report, store it and schedule its deliveries, all as ``complete_analysed`` does; return its id.

        ``None`` when it has nothing to tell any more: the inference was resubmitted, the study was analysed before or
        since, or the same was told before. The job's reason says which.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
            UnknownRecord: the report claims inputs that its revision does not hold; nothing was changed.
        """
        files = self._frozen([thing.pieces for thing in told.evidence])
        with self._database.transaction() as session:
            held = hold(session, job)
            about_id = ended_inference(session, job).job_id
            reason = why_not_told(session, held, about_id, told.evidence)
            result_id = None
            if reason is None:
                # The report is what became of the inference; the notice only made it.
                result_id = store_result(session, replace(held, job_id=about_id), told, files, [])
                ways = ways_of(session, held.study_id, held.revision)
                schedule_deliveries(session, held, result_id, self._routes.destinations(ways, destinations))
            move(session, held, JobEvent.COMPLETE, AuditAction.JOB_COMPLETED, held.worker, reason=reason)
            return result_id

    def complete_delivery(self, job: ClaimedJob, outcomes: Sequence[SendOutcome]) -> None:
        """Every instance of the result is at the destination.

        Raises:
            LeaseLost: another worker holds the job now; nothing was changed.
            InvalidTransition: an instance is not acknowledged; nothing was changed.
        """
        with self._database.transaction() as session:
            held = hold(session, job)
            record_outcomes(session, held, outcomes)
            missing = owed(session, held)
            if missing:
                raise InvalidTransition(
                    f"Delivery job {job.job_id} still owes {missing} instances, so it cannot be completed."
                )
            move(session, held, JobEvent.COMPLETE, AuditAction.JOB_COMPLETED, held.worker)

    def retry(
        self,
        job: ClaimedJob,
        reason: Reason,
        delay: timedelta,
        outcomes: Sequence[SendOutcome] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job back for a later attempt, or fail it when its budget is spent; known outcomes are kept.

        ``child_died`` counts one more process that the job ended. Raises LeaseLost.
        """
        with self._database.transaction() as session:
            held = hold(session, job)
            record_outcomes(session, held, outcomes)
            give_back(session, held, reason, delay, held.worker, self._jobs, child_died=child_died)

    def fail(
        self,
        job: ClaimedJob,
        reason: Reason,
        outcomes: Sequence[SendOutcome] = (),
        refusals: Sequence[Refusal] = (),
        *,
        child_died: bool = False,
    ) -> None:
        """Give the job up for an operator to look at, and owe the report on it. Raises LeaseLost.

        ``child_died`` counts one more process that the job ended.
        """
        with self._database.transaction() as session:
            held = hold(session, job)
            record_outcomes(session, held, outcomes)
            counted = one_more_child_death() if child_died else {}
            give_up(session, held, reason, held.worker, self._jobs, refusals=_rows(refusals), **counted)

    def cancel(self, job_id: int, actor: str) -> None:
        """Stop a job that has not ended; its worker finds its lease gone.

        Raises:
            UnknownRecord: no such job.
            InvalidTransition: it has already ended.
        """
        with self._database.transaction() as session:
            job_operation.cancel(session, job_id, actor)

    def resubmit(self, job_id: int, actor: str) -> int:
        """Schedule the work of a job that has ended again and return the new job's id.

        Raises:
            UnknownRecord: no such job.
            InvalidTransition: it has not ended, was resubmitted before, or its study is parked.
        """
        with self._database.transaction() as session:
            return job_operation.resubmit(session, job_id, actor)

    def submit(
        self,
        study_instance_uid: str,
        actor: str,
        *,
        algorithms: Collection[str] = (),
        priority: Priority | None = None,
    ) -> list[int]:
        """Schedule the active algorithms that have no job yet on a study's newest revision; return the jobs' ids.

        Those of the study's route, with its priority, unless ``algorithms`` names others or ``priority`` is given.

        Raises:
            UnknownRecord: no such study.
            InvalidTransition: it is parked or still being received, or nothing is left to schedule.
        """
        wanted = job_operation.Submission(study_instance_uid, frozenset(algorithms), priority)
        with self._database.transaction() as session:
            return job_operation.submit(session, wanted, self._routes, actor)

    def prioritise(self, job_id: int, priority: Priority, actor: str) -> None:
        """Give a job that waits another priority, with a turn in the line of that one.

        Raises:
            UnknownRecord: no such job.
            InvalidTransition: it does not wait any more, or runs in shadow.
        """
        with self._database.transaction() as session:
            job_operation.prioritise(session, job_id, priority, actor)

    def close(self) -> None:
        """Close the connections that listen for work."""
        self._signal.close()


def _earlier_result(row: Mapping[str, Any]) -> EarlierResult:
    sent = tuple(SentObject(**{**one, "destinations": tuple(one["destinations"])}) for one in row["sent"])
    return EarlierResult(**{**row, "reports": tuple(map(_stored_report, row["reports"])), "sent": sent})


def _stored_report(told: dict[str, str]) -> StoredReport:
    uids = told["sop_class_uid"], told["sop_instance_uid"], told["series_instance_uid"]
    return StoredReport(EvidenceForm(told["form"]), *uids)


def _rows(refusals: Sequence[Refusal]) -> list[dict[str, Any]]:
    return [
        {
            "series_instance_uid": refusal.series_instance_uid,
            "code": refusal.reason.code,
            "sentence": stored_text(refusal.reason.sentence),
        }
        for refusal in refusals
    ]
