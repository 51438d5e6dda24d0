"""What a search of the worklist asks for (PS3.18 section 11.9), read strictly: a key that is not known is told."""

import re
from dataclasses import dataclass, field

from fastapi import Request
from pydicom.datadict import dictionary_keyword
from starlette.exceptions import HTTPException

from listener.web.ups.data_set import is_text
from storage.domain.workitem_attributes import ATTRIBUTES, RANGES, SEARCH_KEYS

MOST_RESULTS = 500
_LONGEST = 1024
_MOST_KEYS = 20
_RANGE = re.compile(r"[0-9]{4,14}|[0-9]{4,14}-|-[0-9]{4,14}|[0-9]{4,14}-[0-9]{4,14}", re.ASCII)


@dataclass
class WorkitemQuery:
    """A query that was understood; ``included`` are tags that the answer has beside the usual ones."""

    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    included: set[str] = field(default_factory=set)
    everything: bool = False
    limit: int = MOST_RESULTS
    offset: int = 0


def read_workitem_query(request: Request) -> WorkitemQuery:
    """Read the query of a search.

    Raises:
        HTTPException: 400, with what is not understood.
    """
    query = WorkitemQuery()
    for name, value in request.query_params.multi_items():
        if name in ("limit", "offset"):
            setattr(query, name, _count(name, value))
        elif name == "includefield":
            _include(query, value)
        elif name != "fuzzymatching":  # for names of people, of which we match none
            add_key(query.keys, name, value)
    query.limit = min(query.limit, MOST_RESULTS)
    return query


def add_key(keys: dict[str, tuple[str, ...]], name: str, value: str) -> None:
    """Add one matching key.

    Raises:
        HTTPException: 400, it is none of ours, or its value is not of its form.
    """
    known = ".".join(_keyword(part) for part in name.split("."))
    if known not in SEARCH_KEYS or len(keys) >= _MOST_KEYS:
        raise _refused(f"A query parameter is no key of this search; its keys are {', '.join(SEARCH_KEYS)}.")
    if len(value) > _LONGEST or not is_text(value):
        raise _refused(f"The value of {known} is too long, or no text.")
    if value in ("", "*"):  # universal matching (PS3.4 section C.2.2.2.3)
        return
    if known in RANGES and not _RANGE.fullmatch(value):
        raise _refused(f"{known} is no date and time or range of them (YYYYMMDDHHMMSS-YYYYMMDDHHMMSS).")
    keys[known] = (
        tuple(part.strip() for part in re.split(r"[,\\]", value)) if known.endswith("UID") else (value.strip(),)
    )


def _include(query: WorkitemQuery, value: str) -> None:
    for name in value.split(","):
        if name == "all":
            query.everything = True
            continue
        keyword = _keyword(name)
        if keyword not in ATTRIBUTES or keyword == "TransactionUID":
            raise _refused("includefield names an attribute that no workitem has here.")
        query.included.add(ATTRIBUTES[keyword].tag)


def _keyword(name: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        return name
    try:
        return dictionary_keyword(int(name, 16))
    except KeyError:
        return ""


def _count(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise _refused(f"{name} is no whole number.")
    return int(value)


def _refused(sentence: str) -> HTTPException:
    return HTTPException(400, sentence)
