"""The job lifecycle: one literal table of transitions for every kind of work.

The same table stands in the database's CHECK constraints and in ``docs/reference/job-lifecycle.md``; a test
holds the three equal. The states are those of the Unified Procedure Step (PS3.4 section CC.1.1); *failed* is ours.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from storage.errors import InvalidTransition


class JobKind(StrEnum):
    """What a job is for."""

    INFERENCE = "inference"  # one algorithm on one revision of a study
    DELIVERY = "delivery"  # one result to one destination
    NOTICE = "notice"  # the "Not analysed" report on one inference that ended without a result


class JobState(StrEnum):
    """Where a job stands."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class JobEvent(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"  # a worker takes it and receives a lease token; the attempt is spent here
    RENEW = "renew"  # the holder of the token asks for more time
    COMPLETE = "complete"  # the holder, in the transaction that stores what the job produced
    RETRY = "retry"  # the holder, or rescue_leases; due_at moves on
    FAIL = "fail"  # the holder, or rescue_leases when the attempts are spent
    CANCEL = "cancel"  # an operator
    PRIORITISE = "prioritise"  # an operator, while it waits


TRANSITIONS: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.SCHEDULED, JobEvent.CLAIM): JobState.IN_PROGRESS,
    (JobState.SCHEDULED, JobEvent.CANCEL): JobState.CANCELED,
    (JobState.SCHEDULED, JobEvent.PRIORITISE): JobState.SCHEDULED,
    (JobState.IN_PROGRESS, JobEvent.RENEW): JobState.IN_PROGRESS,
    (JobState.IN_PROGRESS, JobEvent.COMPLETE): JobState.COMPLETED,
    (JobState.IN_PROGRESS, JobEvent.RETRY): JobState.SCHEDULED,
    (JobState.IN_PROGRESS, JobEvent.FAIL): JobState.FAILED,
    (JobState.IN_PROGRESS, JobEvent.CANCEL): JobState.CANCELED,
}

FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


def next_state(state: JobState, event: JobEvent) -> JobState:
    """The state that follows ``event`` in ``state``.

    Raises:
        InvalidTransition: the table has no such row; final states accept no event.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(f"A job that is {state} does not accept {event}.") from None


class Priority(StrEnum):
    """How urgent a job is; STAT is claimed before routine."""

    STAT = "stat"
    ROUTINE = "routine"
    LOW = "low"


PRIORITY_RANK: dict[Priority, int] = {Priority.STAT: 0, Priority.ROUTINE: 1, Priority.LOW: 2}


class Outcome(StrEnum):
    """What a completed inference job came to."""

    ANALYSED = "analysed"  # a result exists
    NOT_ANALYSED = "not-analysed"  # no series meets the algorithm's input contract; refusals say why


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused or failed: a stable code and one sentence for an operator."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One series that an algorithm's input contract does not accept."""

    series_instance_uid: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job in the hands of one worker until its lease runs out.

    ``started_at`` is the time of the first claim and does not change between attempts, so that a second attempt
    freezes the same times into its results. ``child_deaths`` are the attempts that ended the process they ran in. For
    a delivery, ``result_id`` and ``destination`` are set; for an inference and for a notice, ``algorithm_name`` and
    ``algorithm_version`` are. The result of a ``shadow`` stays in the database: it needs no evidence.
    """

    job_id: int
    kind: JobKind
    study_instance_uid: str
    revision: int
    lease_token: str
    attempt: int
    max_attempts: int
    started_at: datetime
    algorithm_name: str = ""
    algorithm_version: str = ""
    shadow: bool = False
    result_id: int | None = None
    destination: str = ""
    child_deaths: int = 0


def retry_delay(attempt: int, *, base: timedelta, ceiling: timedelta, jitter: float) -> timedelta:
    """How long to wait before attempt ``attempt + 1``: doubling from ``base`` up to ``ceiling``.

    ``jitter`` in [0, 1) shortens the wait by up to a half, so that jobs that failed together do not
    return together.
    """
    grown = base * 2 ** min(max(attempt - 1, 0), 30)
    return timedelta(seconds=min(grown, ceiling).total_seconds() * (1 - jitter / 2))
