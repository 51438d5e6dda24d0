"""Priors that a route asks for: which earlier studies of a patient, from which archive, and what came of asking."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PriorsRule:
    """The ``most`` newest earlier studies of a patient, of the last ``within_days``; an empty word means any."""

    archive: str
    modality: str = ""
    body_part: str = ""
    most: int = 2
    within_days: int = 1825


class PriorRequestState(StrEnum):
    """Where asking for priors stands."""

    WAITING = "waiting"
    DONE = "done"  # the archive was asked; what came is told, also where there is none
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class PriorRequest:
    """Priors that somebody is to fetch now, for a study that is here."""

    request_id: int
    study_instance_uid: str
    rule: PriorsRule
    attempt: int


MOST_ATTEMPTS = 8
_FIRST_PAUSE_SECONDS = 30.0


def pause_seconds(attempt: int) -> float:
    """How long after this attempt the archive is asked again: half a minute, doubling to half an hour."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), 1800.0)
