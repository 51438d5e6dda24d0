"""Cohorts: an algorithm over many studies of the past, and where each study of one stands.

The table of states also stands in ``docs/reference/cohorts.md``; a test holds the two equal.
"""

from dataclasses import dataclass
from enum import StrEnum

from storage.domain.job import JobState, Outcome, Reason
from storage.errors import InvalidTransition


class MemberState(StrEnum):
    """Where one study of a cohort stands."""

    WAITING = "waiting"
    FETCHING = "fetching"  # its images are being had; after a kill it is fetched on
    ANALYSING = "analysing"  # its job waits or is in progress
    ANALYSED = "analysed"  # a result exists, with or without a finding
    NOT_ANALYSED = "not-analysed"  # no series meets the algorithm's input contract
    FAILED = "failed"  # it could not be had, or the job failed
    CANCELED = "canceled"


class MemberEvent(StrEnum):
    """What can happen to it."""

    TAKE = "take"
    SCHEDULE = "schedule"
    ANALYSE = "analyse"
    REFUSE = "refuse"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"  # an operator runs the cohort with --retry


MEMBER_TRANSITIONS: dict[tuple[MemberState, MemberEvent], MemberState] = {
    (MemberState.WAITING, MemberEvent.TAKE): MemberState.FETCHING,
    (MemberState.WAITING, MemberEvent.CANCEL): MemberState.CANCELED,
    (MemberState.FETCHING, MemberEvent.SCHEDULE): MemberState.ANALYSING,
    (MemberState.FETCHING, MemberEvent.FAIL): MemberState.FAILED,
    (MemberState.FETCHING, MemberEvent.CANCEL): MemberState.CANCELED,
    (MemberState.ANALYSING, MemberEvent.ANALYSE): MemberState.ANALYSED,
    (MemberState.ANALYSING, MemberEvent.REFUSE): MemberState.NOT_ANALYSED,
    (MemberState.ANALYSING, MemberEvent.FAIL): MemberState.FAILED,
    (MemberState.ANALYSING, MemberEvent.CANCEL): MemberState.CANCELED,
    (MemberState.FAILED, MemberEvent.RETRY): MemberState.WAITING,
}

UNDER_WAY = (MemberState.FETCHING, MemberState.ANALYSING)  # these are what is bounded
ENDED = (MemberState.ANALYSED, MemberState.NOT_ANALYSED, MemberState.FAILED, MemberState.CANCELED)
REASONED = (MemberState.NOT_ANALYSED, MemberState.FAILED, MemberState.CANCELED)  # each has a code


def next_member_state(state: MemberState, event: MemberEvent) -> MemberState:
    """The state that follows.

    Raises:
        InvalidTransition: the table has no such row.
    """
    try:
        return MEMBER_TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(f"A study of a cohort that is {state} does not accept {event}.") from None


def event_of_job(state: JobState, outcome: Outcome | None) -> MemberEvent | None:
    """What the end of its job means for a study; ``None`` while it goes on."""
    if state is JobState.COMPLETED:
        return MemberEvent.ANALYSE if outcome is Outcome.ANALYSED else MemberEvent.REFUSE
    if state in (JobState.FAILED, JobState.CANCELED):
        return MemberEvent.FAIL
    return None


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """What a cohort is: which studies, of which archive, by which version, and whether results are delivered.

    ``archive`` is empty where only studies that are here already are looked at, ``query`` where they were listed.
    """

    name: str
    algorithm_name: str
    algorithm_version: str
    archive: str = ""
    query: str = ""
    deliver: bool = False


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort that is written down."""

    cohort_id: int
    plan: CohortPlan
    listed: bool
    canceled: bool


SOURCE = "cohort "  # and its name: the source of the jobs that it had made

NOT_HERE = Reason("study-not-here", "The study is not here, and the cohort has no archive to fetch it from.")
HOLDS_NO_IMAGE = Reason("no-image", "The study holds nothing that an algorithm could look at.")
COHORT_CANCELED = Reason("cohort-canceled", "The cohort was canceled.")
