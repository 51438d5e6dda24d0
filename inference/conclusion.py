"""What an attempt at an inference job came to."""

from dataclasses import dataclass
from datetime import timedelta

from inference.pipeline import NotAnalysed
from storage.domain.job import Reason, Refusal
from storage.domain.result import NewResult


@dataclass(frozen=True, slots=True)
class TryLater:
    """The fault may pass; the job goes back to the queue."""

    reason: Reason
    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Trying again would not help; an operator has to look at it.

    ``refusals`` are what was found of single series.
    """

    reason: Reason
    refusals: tuple[Refusal, ...] = ()


Conclusion = NewResult | NotAnalysed | TryLater | GiveUp
