"""What is asked of an archive, and what it says that it has."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import NamedTuple

from listener.errors import ListenerError


class UnusableQuery(ListenerError):
    """The query cannot be asked; correct it."""


class QueryKey(NamedTuple):
    """A key that may be asked for: its attribute, its tag as in DICOM JSON, and the level that has it."""

    keyword: str
    tag: str
    of_series: bool = False


# By what may be written in a query; the Standard's keywords, and Modality for the list that a study has.
QUERY_KEYS: dict[str, QueryKey] = {
    "StudyInstanceUID": QueryKey("StudyInstanceUID", "0020000D"),
    "PatientID": QueryKey("PatientID", "00100020"),
    "IssuerOfPatientID": QueryKey("IssuerOfPatientID", "00100021"),
    "AccessionNumber": QueryKey("AccessionNumber", "00080050"),
    "StudyDate": QueryKey("StudyDate", "00080020"),
    "StudyDescription": QueryKey("StudyDescription", "00081030"),
    "Modality": QueryKey("ModalitiesInStudy", "00080061"),
    "ModalitiesInStudy": QueryKey("ModalitiesInStudy", "00080061"),
    "BodyPartExamined": QueryKey("BodyPartExamined", "00180015", of_series=True),
    "SeriesDescription": QueryKey("SeriesDescription", "0008103E", of_series=True),
    "ProtocolName": QueryKey("ProtocolName", "00181030", of_series=True),
}
_WILD = set("*?\\")


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Values by the names of ``QUERY_KEYS``; ``*`` and ``?`` are wild, a date may be a range ``20200101-20201231``."""

    keys: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what an archive would read otherwise than it was meant.

        Raises:
            UnusableQuery: a key is not known, or could match other patients.
        """
        for name, value in self.keys.items():
            if name not in QUERY_KEYS:
                raise UnusableQuery(f"{name} is no key of a query; use one of {', '.join(QUERY_KEYS)}.")
            if not value:
                raise UnusableQuery(f"{name} has no value in the query; add one, or leave it out.")
            if name in ("StudyInstanceUID", "PatientID", "IssuerOfPatientID") and _WILD & set(value):
                raise UnusableQuery(f"{name} must be one value without *, ? or \\, so that no other patient matches.")
        if "StudyDate" in self.keys:
            _dates(self.keys["StudyDate"])

    @property
    def of_study(self) -> dict[str, str]:
        """Values by the Standard's keyword of the keys that a study has."""
        return {QUERY_KEYS[name].keyword: value for name, value in self.keys.items() if not QUERY_KEYS[name].of_series}

    @property
    def of_series(self) -> dict[str, str]:
        """The same of those that only a series has; Modality is asked of the same series."""
        wanted = {name: value for name, value in self.keys.items() if QUERY_KEYS[name].of_series}
        modality = self.of_study.get("ModalitiesInStudy")
        return wanted | ({"Modality": modality} if wanted and modality else {})

    def holds(self, study: "FoundStudy") -> bool:
        """Whether an answer is one to this query; archives that ignore a key answer with more."""
        asked = self.of_study
        return (
            asked.get("StudyInstanceUID") in (None, study.study_instance_uid)
            and asked.get("PatientID") in (None, study.patient_id)
            and (not study.issuer_of_patient_id or asked.get("IssuerOfPatientID") in (None, study.issuer_of_patient_id))
            and ("StudyDate" not in asked or _is_within(study.study_date, *_dates(asked["StudyDate"])))
            and _has_modality(asked.get("ModalitiesInStudy"), study.modalities)
        )


def query_of(text: str) -> StudyQuery:
    """Read ``Modality=CT StudyDate=20200101-20201231``; a value with spaces stands in quotes.

    Raises:
        UnusableQuery: it cannot be read.
    """
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        raise UnusableQuery("A quote in the query has no end; close it.") from None
    for name, equals, _ in pairs:
        if not equals:
            raise UnusableQuery(f"{name} in the query has no value; write it as {name}=VALUE.")
    if not pairs:
        raise UnusableQuery("The query is empty; name at least one key, such as Modality=CT.")
    return StudyQuery({name: value for name, _, value in pairs})


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that an archive has; what it does not say is empty."""

    study_instance_uid: str
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    study_date: date | None = None
    study_time: str = ""
    study_description: str = ""
    modalities: tuple[str, ...] = ()
    instances: int | None = None


@dataclass(frozen=True, slots=True)
class ListedInstance:
    """An instance that an archive lists; its SOP Class is empty where the archive does not say."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series that an archive has, with what it says by the keywords of a query."""

    series_instance_uid: str
    values: Mapping[str, str] = field(default_factory=dict)

    def meets(self, asked: Mapping[str, str]) -> bool:
        """Whether it may be meant: what an archive does not say of a series speaks neither for it nor against it."""
        return all(_matches(self.values.get(key, ""), value) for key, value in asked.items())


def newest_first(studies: Iterable[FoundStudy]) -> list[FoundStudy]:
    """By date and time; those without a date come last."""
    return sorted(
        studies, key=lambda one: (one.study_date or date.min, one.study_time, one.study_instance_uid), reverse=True
    )


def date_of(text: str) -> date | None:
    """A DA value, or the older form with dots (PS3.5 section 6.2); ``None`` where it is none."""
    digits = text.strip().replace(".", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])) if len(digits) == 8 else None
    except ValueError:
        return None


def _dates(text: str) -> tuple[date | None, date | None]:
    first, dash, last = text.partition("-")
    if not dash:
        last = first
    ends = [date_of(end) for end in (first, last)]
    if any(end and not known for end, known in zip((first, last), ends, strict=True)) or not any(ends):
        raise UnusableQuery("StudyDate in the query is no date; write 20200131, or a range such as 20200101-20201231.")
    return ends[0], ends[1]


def _is_within(day: date | None, first: date | None, last: date | None) -> bool:
    return day is None or ((first is None or day >= first) and (last is None or day <= last))


def _has_modality(asked: str | None, modalities: tuple[str, ...]) -> bool:
    return asked is None or not modalities or any(_matches(one, asked) for one in modalities)


def _matches(value: str, pattern: str) -> bool:
    return not value or any(
        fnmatchcase(value.casefold(), one.casefold().replace("[", "[[]")) for one in pattern.split("\\")
    )
