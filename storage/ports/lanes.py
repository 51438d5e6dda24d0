"""Lanes of delivery: whether each flows or is paused, told to every process that serves it."""

from typing import Protocol

from storage.domain.lane import LaneStanding, PausePolicy


class Lanes(Protocol):
    """Standings by the name of the destination; every method may raise DatabaseUnavailable."""

    def is_paused(self, destination: str) -> bool:
        """Whether what is owed to it waits."""
        ...

    def take_probe(self, destination: str, patience_seconds: float) -> bool:
        """Whether a paused one is to be tried now, by the caller alone; another may after ``patience_seconds``."""
        ...

    def note_failure(self, destination: str, policy: PausePolicy, note: str) -> LaneStanding:
        """Count one delivery without any answer; the lane may pause by it."""
        ...

    def note_silence(self, destination: str, policy: PausePolicy, note: str) -> None:
        """A paused one did not answer when it was tried: the next pause is longer."""
        ...

    def resume(self, destination: str) -> bool:
        """A paused one answered when it was tried: deliveries flow. ``False`` if they did already."""
        ...

    def note_answer(self, destination: str) -> None:
        """A delivery was answered: no failure counts any more."""
        ...
