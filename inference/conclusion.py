"""What an attempt at an inference job came to."""

from dataclasses import dataclass
from datetime import timedelta

from storage.domain.job import Reason, Refusal
from storage.domain.result import NewResult


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """No series of the study meets the algorithm's input contract."""

    reason: Reason
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class TryLater:
    """The fault may pass; the job goes back to the queue.

    ``child_died`` says that the attempt ended the process that ran it.
    """

    reason: Reason
    delay: timedelta
    child_died: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Trying again would not help; an operator has to look at it.

    ``refusals`` are what was found of single series, ``child_died`` that the attempt ended the process that ran it.
    """

    reason: Reason
    refusals: tuple[Refusal, ...] = ()
    child_died: bool = False


Conclusion = NewResult | NotAnalysed | TryLater | GiveUp
