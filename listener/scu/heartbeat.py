"""Renew the lease of a job while the work on it goes on."""

import logging
import threading

from storage.domain.job import ClaimedJob
from storage.errors import DatabaseUnavailable, LeaseLost
from storage.ports.jobs import JobQueue

_LOG = logging.getLogger(__name__)


class Heartbeat:
    """Within the block, the lease is renewed every ``period`` seconds from a thread.

    ``lease_lost`` tells that another worker holds the job; no further renewal is asked for then. A database that does
    not answer is asked again: whether the lease still holds is decided by the fence on the next change.
    """

    def __init__(self, queue: JobQueue, job: ClaimedJob, period: float) -> None:
        self.lease_lost = False
        self._queue = queue
        self._job = job
        self._period = period
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{job.job_id}", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._period):
            try:
                self._queue.renew(self._job)
            except LeaseLost:
                self.lease_lost = True
                return
            except DatabaseUnavailable:
                _LOG.debug("the lease of job %d could not be renewed", self._job.job_id)
