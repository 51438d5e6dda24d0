"""Renew the lease of a job while the work on it goes on."""

import logging
import threading
import time

from storage.domain.job import ClaimedJob
from storage.errors import DatabaseUnavailable, LeaseLost
from storage.ports.jobs import JobQueue

_LOG = logging.getLogger(__name__)


class Heartbeat:
    """Within the block, the lease of ``lease_seconds`` is renewed three times as often from a thread.

    ``asked_at`` is when the claim was asked for, by ``time.monotonic``: the lease cannot have begun before.
    """

    def __init__(self, queue: JobQueue, job: ClaimedJob, lease_seconds: float, asked_at: float) -> None:
        self._queue = queue
        self._job = job
        self._lease_seconds = lease_seconds
        self._asked_at = asked_at
        self._taken = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job.job_id}", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def lease_lost(self) -> bool:
        """Whether another worker holds the job, or may: a database that does not answer cannot say that none does."""
        return self._taken or time.monotonic() > self._asked_at + self._lease_seconds

    def _beat(self) -> None:
        while not self._ended.wait(self._lease_seconds / 3):
            asked_at = time.monotonic()
            try:
                self._queue.renew(self._job)
                self._asked_at = asked_at
            except LeaseLost:
                self._taken = True
                return
            except DatabaseUnavailable:
                _LOG.debug("the lease of job %d could not be renewed", self._job.job_id)
