"""Which inferences that ended without a result are told of, so that silence never reads as a negative."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from storage.domain.job import Reason, Refusal


class TellNotAnalysed(StrEnum):
    """When a "Not analysed" report is made."""

    SAME_MODALITY = "same-modality"  # when the study has a series of a modality that the algorithm takes, or it failed
    ALWAYS = "always"
    NEVER = "never"


# A series refused for one of these is not of the kind that the algorithm is for, so nobody waits for a result.
OTHER_KIND = frozenset({"modality-not-accepted", "derived-result"})


@dataclass(frozen=True, slots=True)
class EndedInference:
    """An inference that ended without a result; ``started_at`` is its first claim."""

    job_id: int
    started_at: datetime
    reason: Reason
    refusals: tuple[Refusal, ...]


def failure_is_told(policy: TellNotAnalysed) -> bool:
    """Whether an inference that failed for good is told."""
    return policy is not TellNotAnalysed.NEVER


def refusal_is_told(policy: TellNotAnalysed, refusals: Iterable[Refusal]) -> bool:
    """Whether a study that an algorithm refused, each of its series for one of these reasons, is told about."""
    if policy is TellNotAnalysed.SAME_MODALITY:
        return any(refusal.reason.code not in OTHER_KIND for refusal in refusals)
    return policy is TellNotAnalysed.ALWAYS
