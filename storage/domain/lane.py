"""A lane of delivery that pauses while its destination does not answer: the words, and when it is tried again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LaneState(StrEnum):
    """Whether deliveries to a destination are taken up."""

    FLOWING = "flowing"
    PAUSED = "paused"  # too many failures in a row: what is owed waits, until the destination answers again


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """After ``failures`` in a row the lane pauses (0: never), first for ``seconds``, then for twice as long each time.

    ``longest_seconds`` bounds that. Only an answer to a delivery makes the next pause short again.
    """

    failures: int
    seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """Where a lane stands: the failures in a row, and of a paused one since when, until when and why.

    ``has_just_paused`` is of the failure by which it paused.
    """

    destination: str
    state: LaneState = LaneState.FLOWING
    failures: int = 0
    paused_at: datetime | None = None
    probe_at: datetime | None = None
    note: str = ""
    has_just_paused: bool = False


def pause_seconds(pauses: int, policy: PausePolicy, jitter: float) -> float:
    """How long the pause after ``pauses`` others without an answer in between is.

    ``jitter`` in [0, 1) shortens it by up to a half, so that several of us do not come back together.
    """
    grown = policy.seconds * 2.0 ** min(max(pauses, 0), 30)
    return min(grown, policy.longest_seconds) * (1 - jitter / 2)
