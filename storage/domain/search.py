"""Looking for studies, series and instances: what may be asked, and what is answered.

Text keys may hold the wild cards ``*`` and ``?`` (PS3.4 section C.2.2.2.4); an absent key matches everything.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar


@dataclass(frozen=True, slots=True)
class SearchKeys:
    """What is looked for; the names are the Standard's keywords in snake case.

    Of a tuple of UIDs any one matches; both ends of the range of study dates are part of it.
    """

    study_instance_uid: tuple[str, ...] | None = None
    series_instance_uid: tuple[str, ...] | None = None
    sop_instance_uid: tuple[str, ...] | None = None
    sop_class_uid: tuple[str, ...] | None = None
    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    accession_number: str | None = None
    study_date_from: date | None = None
    study_date_to: date | None = None
    modalities_in_study: str | None = None
    modality: str | None = None
    body_part_examined: str | None = None
    series_description: str | None = None
    series_number: int | None = None
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the answer is wanted."""

    limit: int
    offset: int = 0


class ObjectOrigin(StrEnum):
    """Where an object of a study comes from."""

    RECEIVED = "received"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """One study with what it holds, received and made by us; ``example`` is the file of a received instance."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    study_date: date | None
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    example: Path


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """One series of a study; ``example`` is the file of one of its instances."""

    study: FoundStudy
    series_instance_uid: str
    modality: str
    body_part_examined: str
    series_description: str
    series_number: int | None
    instance_count: int
    example: Path


@dataclass(frozen=True, slots=True)
class HeldObject:
    """One instance of a study as it can be retrieved: received, or a result of ours."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None
    origin: ObjectOrigin
    path: Path  # of the Part 10 file


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """One instance with the study and series it is in."""

    series: FoundSeries
    instance: HeldObject


FoundThing = TypeVar("FoundThing")


@dataclass(frozen=True, slots=True)
class Found(Generic[FoundThing]):
    """One page of an answer, and how much there is in all."""

    things: tuple[FoundThing, ...]
    total: int
