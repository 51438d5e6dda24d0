"""Reading the few values that we ask for out of an answer in DICOM JSON (PS3.18 annex F), whatever else it holds."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

DataSet = Mapping[str, Any]


def data_sets(body: bytes | None) -> list[DataSet] | None:
    """The data sets of an answer, bare or in a list; ``None`` where it is no DICOM JSON."""
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    listed = found if isinstance(found, list) else [found]
    return listed if all(isinstance(each, dict) for each in listed) else None


def items(data_set: DataSet, tag: str) -> Iterator[DataSet]:
    """The items of a sequence."""
    return (item for item in _values(data_set, tag) if isinstance(item, dict))


def text(data_set: DataSet, tag: str) -> str:
    """The first value of an element, as text; empty where there is none."""
    first = next(iter(_values(data_set, tag)), "")
    return first.strip(" \0") if isinstance(first, str) else ""


def texts(data_set: DataSet, tag: str) -> list[str]:
    """Every value of an element that is text."""
    return [value.strip(" \0") for value in _values(data_set, tag) if isinstance(value, str)]


def number(data_set: DataSet, tag: str, most: int = 0xFFFF) -> int | None:
    """The first value of an element, from 0 to ``most``; some servers write numbers as text."""
    first = next(iter(_values(data_set, tag)), None)
    if isinstance(first, str) and first.isascii() and first.strip().isdigit() and len(first) <= 12:
        first = int(first)
    return first if type(first) is int and 0 <= first <= most else None


def _values(data_set: DataSet, tag: str) -> list[Any]:
    element = data_set.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
