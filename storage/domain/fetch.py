"""Fetching a study from an archive: what for, and what came of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from storage.domain.job import Reason


class FetchPurpose(StrEnum):
    """What a study is fetched for."""

    CONTEXT = "context"  # to be looked at beside another one, or by a cohort: nothing analyses it by itself
    ANALYSIS = "analysis"  # as if it had been sent: the active algorithms of its route analyse it


class FetchOutcome(StrEnum):
    """What came of it."""

    COMPLETE = "complete"  # everything that the archive lists is here
    INCOMPLETE = "incomplete"  # some of it; the same again asks for the rest alone
    FAILED = "failed"  # nothing came that was not here before


@dataclass(frozen=True, slots=True)
class FetchEnd:
    """How a fetch ended: instances that the archive lists, that are here now, and that were not here before it.

    ``sop_instance_uids`` are those that it lists.
    """

    outcome: FetchOutcome
    listed: int
    held: int
    new: int
    reason: Reason | None = None
    sop_instance_uids: frozenset[str] = field(default=frozenset(), repr=False, compare=False)


FETCHED_AS_CONTEXT = Reason(
    "fetched-as-context",
    "The study was fetched as a prior or for a cohort, so nothing analyses it by itself; have it analysed with "
    "`overread jobs submit` and its Study Instance UID.",
)
