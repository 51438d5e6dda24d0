"""What a search asks for (PS3.18 section 8.3.4), read strictly: a key that is not understood is told, never ignored.

An ignored key would answer with more patients than were asked for. Names of patients are no key: no row of ours
holds one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from fastapi import Request
from pydicom.datadict import dictionary_keyword, dictionary_VR, tag_for_keyword
from starlette.exceptions import HTTPException

from storage.domain.identifiers import checked_uid
from storage.domain.search import Page, SearchKeys
from storage.errors import InvalidIdentifier

_INTEGER_LIMIT = 2**31
_VALUE_LIMIT = 1024
_NUMBER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_NOT_INCLUDED = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ"})
_GROUPS_OF_HEADERS = range(0x0008, 0x7FE0)


class Level(StrEnum):
    """What is searched for."""

    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"


# As many as one answer holds; the client is told how many more there are.
MAX_RESULTS: dict[Level, int] = {Level.STUDIES: 500, Level.SERIES: 1000, Level.INSTANCES: 5000}


@dataclass
class SearchQuery:
    """A query that was understood; ``asked`` are the keywords that it named, ``included`` the tags it wants besides."""

    keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    included: set[int] = field(default_factory=set)
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False

    def search_keys(self) -> SearchKeys:
        """The keys as storage takes them."""
        return SearchKeys(**self.keys)

    def page(self, level: Level) -> Page:
        """The part of the answer that is wanted, within our limit."""
        return Page(min(self.limit if self.limit is not None else MAX_RESULTS[level], MAX_RESULTS[level]), self.offset)


def read_query(request: Request, level: Level) -> SearchQuery:
    """Read the query of a search.

    Raises:
        HTTPException: 400, with what is not understood.
    """
    query = SearchQuery()
    for name, value in request.query_params.multi_items():
        if len(value) > _VALUE_LIMIT * (100 if "UID" in name else 1):
            raise _refused(f"The value of a query parameter is longer than {_VALUE_LIMIT} characters.")
        if name == "limit":
            query.limit = _count(name, value)
        elif name == "offset":
            query.offset = _count(name, value)
        elif name == "fuzzymatching":
            query.fuzzy = value.lower() == "true"
        elif name == "includefield":
            query.included |= _included(value)
        else:
            _add_key(query, name, value, level)
    return query


def _add_key(query: SearchQuery, name: str, value: str, level: Level) -> None:
    keyword = _keyword(name)
    if keyword not in _READERS or (level is Level.STUDIES and keyword not in STUDY_KEYS):
        known = STUDY_KEYS if level is Level.STUDIES else _READERS
        raise _refused(f"A query parameter is no key of this search; its keys are {', '.join(sorted(known))}.")
    query.asked.append(keyword)
    if value not in ("", "*"):  # universal matching (PS3.4 section C.2.2.2.3)
        query.keys |= _READERS[keyword](keyword, value)


def _keyword(name: str) -> str:
    """The keyword of an attribute that is named by keyword or by tag."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        try:
            return dictionary_keyword(int(name, 16))
        except KeyError:
            return ""
    return name


def _count(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise _refused(f"{name} is no whole number.")
    return int(value)


def _included(value: str) -> set[int]:
    tags = set()
    for name in value.split(","):
        if name == "all":
            continue
        tag = int(name, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", name) else tag_for_keyword(name)
        try:
            usable = tag is not None and tag >> 16 in _GROUPS_OF_HEADERS and dictionary_VR(tag) not in _NOT_INCLUDED
        except KeyError:
            usable = False
        if not usable or tag is None:
            raise _refused("includefield names an attribute that is not in the dictionary, or that is a sequence.")
        tags.add(int(tag))
    return tags


def _snake(keyword: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword).lower()


def _text(keyword: str, value: str) -> dict[str, Any]:
    return {_snake(keyword): value.strip()}


def _uids(keyword: str, value: str) -> dict[str, Any]:
    try:
        return {_snake(keyword): tuple(checked_uid(uid.strip(), keyword) for uid in re.split(r"[,\\]", value))}
    except InvalidIdentifier as error:
        raise _refused(str(error)) from None


def _integer(keyword: str, value: str) -> dict[str, Any]:
    if not _NUMBER.fullmatch(value) or abs(int(value)) >= _INTEGER_LIMIT:
        raise _refused(f"{keyword} is no number (PS3.5 section 6.2, IS).")
    return {_snake(keyword): int(value)}


def _date_range(keyword: str, value: str) -> dict[str, Any]:
    first, dash, last = value.partition("-")
    if not dash:
        last = first
    return {"study_date_from": _date(keyword, first), "study_date_to": _date(keyword, last)}


def _date(keyword: str, value: str) -> date | None:
    if not value.strip():
        return None
    digits = value.strip()
    if not re.fullmatch(r"[0-9]{8}", digits, re.ASCII):
        raise _refused(f"{keyword} is no date or range of dates (YYYYMMDD-YYYYMMDD).")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise _refused(f"{keyword} is no date of the calendar.") from None


def _refused(sentence: str) -> HTTPException:
    return HTTPException(400, sentence)


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "StudyInstanceUID": _uids,
    "SeriesInstanceUID": _uids,
    "SOPInstanceUID": _uids,
    "SOPClassUID": _uids,
    "PatientID": _text,
    "IssuerOfPatientID": _text,
    "AccessionNumber": _text,
    "StudyDate": _date_range,
    "ModalitiesInStudy": _text,
    "Modality": _text,
    "BodyPartExamined": _text,
    "SeriesDescription": _text,
    "SeriesNumber": _integer,
    "InstanceNumber": _integer,
}
KEYS = tuple(_READERS)
STUDY_KEYS = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyDate", "ModalitiesInStudy")
