"""What both queues are asked to do."""

from typing import Protocol

KEPT_FOR_LATER_S = 3600  # of the half of a deep line that stands in front and is not due


class Contender(Protocol):
    """One queue; every method returns seconds."""

    name: str

    def throughput(self, jobs: int, workers: int) -> float:
        """How long this many workers take to claim and end this many jobs, each in transactions of its own."""
        ...

    def wake_ups(self, jobs: int) -> list[float]:
        """For each job how long it takes from before it is scheduled until a worker that waited has claimed it."""
        ...

    def fill(self, jobs: int) -> None:
        """Let only these many jobs wait, the first half of them for its time, which is ``KEPT_FOR_LATER_S`` away."""
        ...

    def claims(self, jobs: int) -> list[float]:
        """How long each of these many claims takes, one after the other."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
