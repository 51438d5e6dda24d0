"""The worker's loop: claim a job, keep its lease while it is analysed, settle it."""

import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta

from inference.conclusion import Conclusion, GiveUp, NotAnalysed, TryLater
from inference.errors import (
    ArtifactUnavailable,
    DecodersUnavailable,
    DeviceFull,
    DeviceUnavailable,
    InferenceError,
    InvalidOutput,
    ModelChildLost,
    ModelChildNotStarted,
    OutOfMemory,
    PredictionFailed,
    UnforeseenError,
    UnusableInput,
    VaryingOutput,
)
from inference.retries import FAILURES, WAITS, Again
from storage.domain.job import ClaimedJob, JobKind, Reason, retry_delay
from storage.domain.result import NewResult
from storage.errors import (
    DamagedObject,
    DatabaseUnavailable,
    EvidenceNotStored,
    LeaseLost,
    StorageError,
    UnknownRecord,
)
from storage.ports.jobs import JobQueue

_LOG = logging.getLogger(__name__)

_TICK_S = 0.5  # how soon a finished analysis or a request to stop is noticed
_IDLE_S = 1.0  # how soon an idle worker notices a request to stop; work itself wakes it at once
_GRACE_S = 20.0  # what a stopping worker gives its job; `overread up` waits 30 s before it kills
# By exception: the code an operator sees; ``inference.retries`` has what follows from it.
_CODES: dict[type[Exception], str] = {
    ArtifactUnavailable: "artifact-unavailable",
    DeviceUnavailable: "device-unavailable",
    ModelChildNotStarted: "model-child-not-started",
    DecodersUnavailable: "decoders-unavailable",
    PredictionFailed: "prediction-failed",
    InvalidOutput: "invalid-output",
    VaryingOutput: "varying-output",
    DatabaseUnavailable: "database-unavailable",
    DamagedObject: "damaged-object",
    UnknownRecord: "unknown-record",
}

# What a worker does for a job of one kind.
Duty = Callable[[ClaimedJob], NewResult | NotAnalysed]
_MOST_CHILD_DEATHS = 2  # a job that ended its child this often is given up, so that it costs no more of them


class Worker:
    """One process's share of the work on studies; it needs no memory of earlier jobs.

    ``duties`` are what it does for a job of each kind; of the kinds that have a job due, the first one is claimed.
    ``interrupt`` ends a duty whose outcome nobody waits for any more.
    """

    def __init__(
        self,
        queue: JobQueue,
        name: str,
        duties: Mapping[JobKind, Duty],
        destinations: Sequence[str],
        lease_seconds: float,
        alive: Callable[[], None] = lambda: None,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._alive = alive
        self._interrupt = interrupt
        self._queue = queue
        self._name = name
        self._duties = duties
        self._destinations = destinations
        self._renew_every = lease_seconds / 3
        self._database_away = False

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the job then in hand is finished or given back."""
        while not stop.is_set():
            self._alive()
            try:
                job = self._claim()
            except DatabaseUnavailable:
                if not stop.is_set():
                    self._database_is_away()
                stop.wait(_IDLE_S)
                continue
            self._database_is_back()
            if job is None:
                self._queue.wait_for_work(JobKind.INFERENCE, _IDLE_S)
            else:
                self._attempt(job, stop)

    def _claim(self) -> ClaimedJob | None:
        return next(filter(None, (self._queue.claim(kind, self._name) for kind in self._duties)), None)

    def _attempt(self, job: ClaimedJob, stop: threading.Event) -> None:
        _LOG.info(
            "job %d: %s of %s %s on study %s revision %d, attempt %d",
            *(job.job_id, job.kind, job.algorithm_name, job.algorithm_version),
            *(job.study_instance_uid, job.revision, job.attempt),
        )
        try:
            conclusion = self._conclude_under_lease(job, stop)
            self._settle(job, conclusion, stop)
        except LeaseLost:
            _LOG.warning("job %d: the lease has passed on, so what was done for it is dropped", job.job_id)

    def _conclude_under_lease(self, job: ClaimedJob, stop: threading.Event) -> Conclusion:
        """Analyse in another thread and renew the lease meanwhile.

        Raises:
            LeaseLost: raised only when the analysis has ended too, so that never two run at once.
        """
        analysis: Future[Conclusion] = Future()
        ended = threading.Event()

        def run() -> None:
            analysis.set_result(self._conclude(job))
            ended.set()

        threading.Thread(target=run, name=f"job-{job.job_id}", daemon=True).start()
        renew_at = time.monotonic() + self._renew_every
        given_back_at: float | None = None
        while not ended.wait(_TICK_S):
            self._alive()
            now = time.monotonic()
            if stop.is_set():
                given_back_at = given_back_at or now + _GRACE_S
                if now >= given_back_at:
                    return TryLater(
                        Reason("worker-stopped", "The worker was stopped before the analysis ended."), timedelta(0)
                    )
            if now >= renew_at:
                renew_at = now + self._renew_every
                self._renew(job, ended, stop)
        return analysis.result()

    def _renew(self, job: ClaimedJob, ended: threading.Event, stop: threading.Event) -> None:
        try:
            self._queue.renew(job)
            self._database_is_back()
        except DatabaseUnavailable:
            self._database_is_away()  # the lease may outlast the outage; if not, settling finds out
        except LeaseLost:
            self._interrupt()
            while not (ended.wait(_TICK_S) or stop.is_set()):
                pass
            raise

    def _conclude(self, job: ClaimedJob) -> Conclusion:
        """Analyse, and give each failure its name; this is the boundary of the analysis thread."""
        try:
            return self._duties[job.kind](job)
        except UnusableInput as error:
            return GiveUp(error.reason, error.refusals)
        except ModelChildLost as error:
            return _child_died(job, error.reason)
        except OutOfMemory as error:
            return _child_died(job, Reason("out-of-memory", str(error)))
        except DeviceFull as error:
            return _device_full(job, error)
        except UnforeseenError as error:
            return _unexpected(job, error.kind, error.place)
        except (InferenceError, DatabaseUnavailable, DamagedObject, UnknownRecord) as error:
            code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), "inference-failed")
            return _failed(job, Reason(code, str(error)))
        except OSError as error:
            return _storage_unavailable(job, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, the worker lives and the job says so
            return _unexpected(job, *_kind_and_place(error))

    def _settle(self, job: ClaimedJob, conclusion: Conclusion, stop: threading.Event) -> None:
        """Tell the queue, as soon as the database lets us.

        Raises:
            LeaseLost: nothing was changed.
        """
        while True:
            self._alive()
            try:
                self._tell(job, conclusion)
                self._database_is_back()
                return
            except DatabaseUnavailable:
                self._database_is_away()
                if stop.wait(_IDLE_S):
                    _LOG.warning("job %d: stopped while the database is away; its lease will run out", job.job_id)
                    return
            except LeaseLost:
                raise
            except (StorageError, OSError) as error:
                if isinstance(conclusion, TryLater):
                    _LOG.error(
                        "job %d: could not be settled (%s); its lease will run out", job.job_id, type(error).__name__
                    )
                    return
                if isinstance(error, EvidenceNotStored | OSError):
                    conclusion = _storage_unavailable(job, error)
                else:
                    conclusion = _unexpected(job, *_kind_and_place(error))

    def _tell(self, job: ClaimedJob, conclusion: Conclusion) -> None:
        match conclusion:
            case NewResult() if job.kind is JobKind.NOTICE:
                told = self._queue.complete_notice(job, conclusion, self._destinations)
                _LOG.info("job %d: %s", job.job_id, "nothing left to tell" if told is None else f"told, result {told}")
            case NewResult():
                result_id = self._queue.complete_analysed(job, conclusion, self._destinations)
                _LOG.info("job %d: analysed on %s, result %d", job.job_id, conclusion.execution_provider, result_id)
            case NotAnalysed():
                self._queue.complete_not_analysed(job, conclusion.reason, conclusion.refusals)
                _LOG.info("job %d: not analysed (%s)", job.job_id, conclusion.reason.code)
            case TryLater():
                self._queue.retry(job, conclusion.reason, conclusion.delay, child_died=conclusion.child_died)
                _LOG.warning("job %d: put back (%s)", job.job_id, conclusion.reason.code)
            case GiveUp():
                self._queue.fail(job, conclusion.reason, refusals=conclusion.refusals, child_died=conclusion.child_died)
                _LOG.warning("job %d: given up (%s)", job.job_id, conclusion.reason.code)

    def _database_is_away(self) -> None:
        if not self._database_away:
            _LOG.warning("the database does not answer; waiting for it")
        self._database_away = True

    def _database_is_back(self) -> None:
        if self._database_away:
            _LOG.info("the database answers again")
        self._database_away = False


def _failed(job: ClaimedJob, reason: Reason) -> Conclusion:
    """As the table says of its code."""
    again = FAILURES[reason.code].again
    return GiveUp(reason) if again is Again.NEVER else TryLater(reason, _delay(job, again))


def _delay(job: ClaimedJob, again: Again) -> timedelta:
    waits = WAITS[again]
    longest = waits[min(job.attempt, len(waits)) - 1]
    return retry_delay(1, base=longest, ceiling=longest, jitter=random.random())  # noqa: S311 - no secret


def _storage_unavailable(job: ClaimedJob, error: EvidenceNotStored | OSError) -> TryLater:
    """A disk that is full or away; only the kind of an operating system's error is told, never a path."""
    if isinstance(error, EvidenceNotStored):
        sentence = str(error)
    else:
        kind = os.strerror(error.errno) if error.errno else type(error).__name__
        sentence = f"A file under data_dir could not be used ({kind}); mend the disk, it is tried again by itself."
    return TryLater(Reason("storage-unavailable", sentence), _delay(job, Again.AFTER_REPAIR))


def _device_full(job: ClaimedJob, error: DeviceFull) -> Conclusion:
    """No fault of the job: what others do on the device has to end first."""
    reason = Reason("device-full", str(error))
    return _failed(job, reason) if error.may_wait else GiveUp(reason)


def _child_died(job: ClaimedJob, reason: Reason) -> Conclusion:
    """The job may be what killed the child: it goes behind what is due now, and is given up when it does so again."""
    if job.child_deaths + 1 >= _MOST_CHILD_DEATHS:
        return GiveUp(reason, child_died=True)
    return TryLater(reason, _delay(job, Again.ONCE), child_died=True)


def _kind_and_place(error: Exception) -> tuple[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "an unknown place"
    return type(error).__name__, place


def _unexpected(job: ClaimedJob, kind: str, place: str) -> TryLater:
    """A fault of ours: the class and the place are told, the message is not, because it may repeat patient data."""
    _LOG.error("job %d: unexpected %s in %s", job.job_id, kind, place)
    reason = Reason("internal-error", f"The worker failed with an unexpected {kind}; its log names the place.")
    return TryLater(reason, _delay(job, Again.SOON))
