"""Lease ran out: the job is scheduled again, or failed when its budget is spent."""

import logging

from storage.postgres.engine import Database
from storage.postgres.lease_rescue import rescue_next_lease
from storage.settings import JobSettings

_LOG = logging.getLogger(__name__)


def rescue_leases(database: Database, jobs: JobSettings) -> int:
    """Take back every job whose worker fell silent, each in a transaction of its own; how many it were.

    Raises:
        DatabaseUnavailable: those rescued before stay rescued.
    """
    count = 0
    while (rescued := rescue_next_lease(database, jobs)) is not None:
        count += 1
        job_id, state = rescued
        _LOG.warning("the lease of job %d ran out, so it is %s now", job_id, state)
    return count
