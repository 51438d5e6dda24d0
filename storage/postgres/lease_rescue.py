"""Taking a job back from a worker that fell silent."""

import random
from datetime import timedelta

from storage.domain.job import JobKind, JobState, Reason, retry_delay
from storage.postgres.engine import Database
from storage.postgres.held_job import LEASE_EXPIRED, HeldJob, give_back
from storage.postgres.statement import statement
from storage.settings import JobSettings

_ACTOR = "housekeeper"
_FIRST_DELAY = timedelta(seconds=2)
_LONGEST_DELAY = timedelta(minutes=5)
_WORK = {JobKind.INFERENCE: "analysis", JobKind.DELIVERY: "delivery", JobKind.NOTICE: "report that there is no result"}


def rescue_next_lease(database: Database, limits: JobSettings) -> tuple[int, JobState] | None:
    """Take back the job whose lease ran out longest ago; its id and new state, or ``None`` when there is none.

    It is scheduled again after a growing delay, because its input may be what killed the worker, or failed when
    its budget is spent. The next attempt is counted when it is claimed.

    Raises:
        DatabaseUnavailable: nothing was changed.
    """
    with database.transaction() as session:
        row = session.execute(statement("rescue_leases")).one_or_none()
        if row is None:
            return None
        job = HeldJob.from_row(row)
        delay = retry_delay(
            job.attempt,
            base=_FIRST_DELAY,
            ceiling=_LONGEST_DELAY,
            jitter=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        return job.job_id, give_back(session, job, _silence(job), delay, _ACTOR, limits)


def _silence(job: HeldJob) -> Reason:
    return Reason(
        LEASE_EXPIRED,
        f"The worker fell silent during attempt {job.attempt} of this {_WORK[job.kind]}, and its lease ran out.",
    )
