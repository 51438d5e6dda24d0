"""Which workitems match the keys of a search (PS3.4 section C.2.2.2, as section CC.2.8 uses it)."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, column, exists, false, func, literal, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from storage.domain.workitem_attributes import RANGES, SEARCH_KEYS
from storage.postgres.stored_text import stored_text
from storage.postgres.workitem_tables import WorkitemRow

_Held = ColumnElement[Any] | InstrumentedAttribute[Any]
_COLUMNS: dict[str, InstrumentedAttribute[str]] = {
    "SOPInstanceUID": WorkitemRow.sop_instance_uid,
    "ProcedureStepState": WorkitemRow.state,
}


def matches(keys: Mapping[str, Sequence[str]]) -> ColumnElement[bool]:
    """The condition on a row of `workitem`; every key has to match one of its values."""
    return and_(
        literal(True), *(_match(name, [stored_text(value) for value in values]) for name, values in keys.items())
    )


def _match(name: str, values: list[str]) -> ColumnElement[bool]:
    own = _COLUMNS.get(name)
    if own is not None:
        return _one_of(own, values)
    outer, *inner = SEARCH_KEYS[name]
    if not inner:
        held = _first(WorkitemRow.attributes, outer)
        return _within(held, values) if name in RANGES else _one_of(held, values)
    found = WorkitemRow.attributes[(outer, "Value")]
    held = func.jsonb_array_elements(func.coalesce(found, type_coerce([], JSONB)))
    item = held.table_valued(column("value", JSONB), name="item")
    return exists(select(1).select_from(item).where(_one_of(_first(item.c.value, inner[0]), values)))


def _first(data_set: _Held, tag: str) -> ColumnElement[str]:
    return func.jsonb_extract_path_text(data_set, tag, "Value", "0", type_=Text)


def _one_of(held: _Held, values: list[str]) -> ColumnElement[bool]:
    plain = [value for value in values if not _is_pattern(value)]
    patterns = [_pattern(value) for value in values if _is_pattern(value)]
    either = [held.in_(plain)] if plain else []
    return or_(false(), *either, *(held.like(pattern, escape="\\") for pattern in patterns))


def _within(held: ColumnElement[str], values: list[str]) -> ColumnElement[bool]:
    """A range of DT, "FROM-TO" with either end left out; a shorter time stands for all that begins so."""
    first, dash, last = values[0].partition("-")
    if not dash:
        return held.like(f"{_pattern(first)}%", escape="\\")
    bounds = [func.left(held, 14) >= first] if first else []
    bounds += [func.left(held, len(last)) <= last] if last else []
    return and_(literal(True), *bounds)


def _is_pattern(value: str) -> bool:
    return "*" in value or "?" in value


def _pattern(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
