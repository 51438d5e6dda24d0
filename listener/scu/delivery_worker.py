"""Claim a delivery, send what is still owed, settle it; nothing here knows the bytes on the wire."""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Protocol

from pydicom.uid import UID

from listener.scu.heartbeat import Heartbeat
from listener.scu.settings import DestinationSettings
from storage.domain.delivery import DeliveryStanding, SendOutcome, Verdict
from storage.domain.job import ClaimedJob, JobKind, Reason, retry_delay
from storage.domain.result import FrozenEvidence
from storage.errors import DamagedObject, LeaseLost
from storage.ports.delivery import DeliveryLog
from storage.ports.jobs import JobQueue
from storage.settings import JobSettings

_LOG = logging.getLogger(__name__)

RETRY_BASE = timedelta(seconds=2)
RETRY_CEILING = timedelta(minutes=5)
# So often, for about twenty minutes, a report waits for what it refers to; then it goes alone: better than nothing.
_HELD_BACK_ATTEMPTS = 10


class Sender(Protocol):
    """Whoever can put evidence before a destination; ``StoreScu`` is one."""

    def send(
        self,
        destination: DestinationSettings,
        evidence: Sequence[FrozenEvidence],
        stopped: Callable[[], bool],
        standing: DeliveryStanding,
    ) -> tuple[SendOutcome, ...]:
        """Send what is owed and say what came of each instance; end early once ``stopped`` says so."""
        ...

    def rest(self) -> None:
        """Nothing more is due now: close what is still open."""
        ...


class DeliveryWorker:
    """One lane of delivery; how long a delivery may be tried again is for the queue to say.

    ``claim`` takes what is due in this lane, for the worker of the name that it is given; without it, any delivery is.
    ``note`` is told what came of each delivery, once that is settled.
    Once ``in_a_hurry`` says that the process has to end, the association is cut and the job given back.
    """

    def __init__(
        self,
        queue: JobQueue,
        log: DeliveryLog,
        destinations: Mapping[str, DestinationSettings],
        sender: Sender,
        jobs: JobSettings,
        worker: str,
        in_a_hurry: Callable[[], bool] = lambda: False,
        alive: Callable[[], None] = lambda: None,
        claim: Callable[[str], ClaimedJob | None] | None = None,
        note: Callable[[Sequence[SendOutcome]], None] = lambda outcomes: None,
    ) -> None:
        self._queue = queue
        self._log = log
        self._destinations = destinations
        self._sender = sender
        self._jobs = jobs
        self._worker = worker
        self._in_a_hurry = in_a_hurry
        self._alive = alive
        self._note = note
        self._claim = claim or partial(queue.claim, JobKind.DELIVERY)

    def deliver_one(self) -> bool:
        """Work on one due delivery; ``False`` when there was none.

        Raises:
            DatabaseUnavailable: what was sent may be sent again, byte for byte, once the database is back.
        """
        asked_at = time.monotonic()
        job = self._claim(self._worker)
        if job is None:
            return False
        try:
            self._deliver(job, asked_at)
        except LeaseLost:
            _LOG.warning("delivery %d passed to another worker, so nothing was changed here", job.job_id)
        return True

    def rest(self) -> None:
        """Nothing more is due now, or may be sent: close what is still open to the destination."""
        self._sender.rest()

    def _deliver(self, job: ClaimedJob, asked_at: float) -> None:
        destination = self._destinations.get(job.destination)
        if destination is None:
            self._queue.fail(job, _not_configured(job))
            return
        try:
            evidence = self._log.undelivered(job)
            for item in evidence:
                _check_frozen(item)
        except DamagedObject as damage:
            _LOG.error("delivery %d to %s is given up: %s", job.job_id, job.destination, damage)
            self._queue.fail(job, Reason("evidence-damaged", str(damage)))
            return
        wish = destination.proof_wish()
        outcomes = [replace(outcome, proof=wish) for outcome in self._send(job, asked_at, destination, evidence)]
        self._settle(job, outcomes, evidence)
        self._note(outcomes)

    def _send(
        self, job: ClaimedJob, asked_at: float, destination: DestinationSettings, evidence: Sequence[FrozenEvidence]
    ) -> tuple[SendOutcome, ...]:
        """Send while the lease is kept; once it is lost the association is cut, and the fence stops the settling."""
        if not evidence:
            return ()
        standing = replace(self._log.standing(job), holds_back=job.attempt <= _HELD_BACK_ATTEMPTS)
        with Heartbeat(self._queue, job, self._jobs.lease_seconds, asked_at) as heartbeat:

            def stopped() -> bool:
                self._alive()  # the sender asks all the time, and gives up by itself in the end
                return heartbeat.lease_lost or self._in_a_hurry()

            return self._sender.send(destination, evidence, stopped, standing)

    def _settle(self, job: ClaimedJob, outcomes: Sequence[SendOutcome], evidence: Sequence[FrozenEvidence]) -> None:
        waiting = [outcome for outcome in outcomes if outcome.verdict is Verdict.TRY_AGAIN]
        refused = [outcome for outcome in outcomes if outcome.verdict is Verdict.REFUSED]
        if waiting:
            self._try_again(job, waiting[0], outcomes)
        elif refused:
            self._give_up(job, Reason("delivery-refused", _refusal(job, refused[0], evidence)), outcomes)
        else:
            self._queue.complete_delivery(job, outcomes)
            _LOG.info("delivery %d to %s is complete", job.job_id, job.destination)

    def _try_again(self, job: ClaimedJob, first: SendOutcome, outcomes: Sequence[SendOutcome]) -> None:
        delay = retry_delay(
            job.attempt,
            base=RETRY_BASE,
            ceiling=RETRY_CEILING,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        delay = max(delay, timedelta(seconds=max(outcome.wait_seconds for outcome in outcomes)))
        if self._in_a_hurry():
            delay = timedelta(0)  # the next process takes over at once
        self._queue.retry(job, Reason("delivery-waiting", first.note), delay, outcomes)
        _LOG.info("delivery %d to %s waits %.0f s: %s", job.job_id, job.destination, delay.total_seconds(), first.note)

    def _give_up(self, job: ClaimedJob, reason: Reason, outcomes: Sequence[SendOutcome]) -> None:
        self._queue.fail(job, reason, outcomes)
        _LOG.error("delivery %d to %s is given up: %s", job.job_id, job.destination, reason.sentence)


def _not_configured(job: ClaimedJob) -> Reason:
    return Reason(
        "destination-not-configured",
        f"No [[destinations]] entry has the name {job.destination!r}, so this was given up; add it again and have it "
        f"sent with `overread jobs resubmit {job.job_id}`, or leave it.",
    )


def _refusal(job: ClaimedJob, refused: SendOutcome, evidence: Sequence[FrozenEvidence]) -> str:
    """The note with what was refused and by whom, because it is read far from the delivery, as on the overview."""
    item = next(each for each in evidence if each.sop_instance_uid == refused.sop_instance_uid)
    what = item.role if item.analysed else '"Not analysed" report'
    if not refused.offered:
        return f"Destination {job.destination} was not sent the {what}: {refused.note}"
    sop_class = UID(item.sop_class_uid).name  # as PS3.6 table A-1 has it
    return f"Destination {job.destination} did not take the {what} as {item.form} ({sop_class}): {refused.note}"


def _check_frozen(item: FrozenEvidence) -> None:
    """Read the whole file. Raises DamagedObject when it is missing or not what was frozen."""
    try:
        with item.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DamagedObject(
            f"The frozen file of instance {item.sop_instance_uid} cannot be read; restore it from a backup."
        ) from error
    if digest != item.sha256:
        raise DamagedObject(
            f"The frozen file of instance {item.sop_instance_uid} does not match its digest; restore it from a backup."
        )
