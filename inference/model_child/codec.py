"""Dataclasses as JSON and bytes, and back: what a field's type says decides, so every field of every class is carried.

Types that can be carried: str, int, float, bool, bytes, Path, date, datetime, enumerations of str, dataclasses of
these; tuples, lists and frozensets of these, and mappings to them from str and its enumerations; ``X | None``; and
``Iterable[bytes]`` for large contents. A field of any other type is refused when it is sent, and by the test of this
module before that.
"""

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from inference.model_child.wire import Garbled

_T = TypeVar("_T")
_PLAIN: tuple[type, ...] = (str, int, float, bool)
# As text, and from text. A datetime is a date too, so it stands first.
_AS_TEXT: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    Path: (str, Path),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
}


def encode(kind: type[_T], value: _T) -> tuple[Any, list[Iterable[bytes]]]:
    """A value of this type as JSON, and the bytes that it refers to by their place.

    Raises:
        TypeError: something in it has a type that cannot be carried.
    """
    contents: list[Iterable[bytes]] = []
    return _told(kind, value, contents), contents


def decode(kind: type[_T], told: Any, contents: Sequence[Sequence[bytes]]) -> _T:  # noqa: ANN401 - JSON
    """The value of this type that was encoded.

    Raises:
        Garbled: it is none.
        TypeError: the type itself cannot be carried.
    """
    try:
        value: _T = _value(kind, told, contents)
        return value
    except (ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise Garbled from error


def _told(kind: Any, value: Any, contents: list[Iterable[bytes]]) -> Any:  # noqa: ANN401
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return kind(value)
    if kind is bytes or _is_content(kind):
        contents.append([value] if isinstance(value, bytes) else value)
        return len(contents) - 1
    if kind in _AS_TEXT:
        return _AS_TEXT[kind][0](value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str(kind(value))
    if _is_dataclass(kind):
        return {name: _told(hint, getattr(value, name), contents) for name, hint in _hints(kind).items()}
    if _is_optional(kind):
        return None if value is None else _told(_without_none(inner), value, contents)
    if origin is tuple and inner[-1:] != (...,):
        return [_told(hint, part, contents) for hint, part in zip(inner, value, strict=True)]
    if origin in (tuple, list):
        return [_told(inner[0], part, contents) for part in value]
    if origin is frozenset:
        return sorted(_told(inner[0], part, contents) for part in value)
    if _is_mapping(kind):
        return {_told(inner[0], key, contents): _told(inner[1], part, contents) for key, part in value.items()}
    raise TypeError(f"A value of the type {kind} cannot be carried between worker and child; teach the codec to.")


def _value(kind: Any, told: Any, contents: Sequence[Sequence[bytes]]) -> Any:  # noqa: ANN401
    origin, inner = get_origin(kind), get_args(kind)
    if kind is float:
        return float(_of(told, int, float))
    if kind in _PLAIN:
        return _of(told, kind)
    if kind is bytes:
        return b"".join(contents[_place(told)])
    if _is_content(kind):
        return tuple(contents[_place(told)])
    if kind in _AS_TEXT:
        return _AS_TEXT[kind][1](_of(told, str))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(_of(told, str))
    if _is_dataclass(kind):
        hints = _hints(kind)
        if _of(told, dict).keys() != hints.keys():
            raise Garbled
        made: Callable[..., Any] = kind
        return made(**{name: _value(hint, told[name], contents) for name, hint in hints.items()})
    if _is_optional(kind):
        return None if told is None else _value(_without_none(inner), told, contents)
    if origin is tuple and inner[-1:] != (...,):
        return tuple(_value(hint, part, contents) for hint, part in zip(inner, _of(told, list), strict=True))
    if origin in (tuple, list, frozenset):
        return origin(_value(inner[0], part, contents) for part in _of(told, list))
    if _is_mapping(kind):
        return {
            _value(inner[0], key, contents): _value(inner[1], part, contents) for key, part in _of(told, dict).items()
        }
    raise TypeError(f"A value of the type {kind} cannot be carried between worker and child; teach the codec to.")


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The type of each field that the constructor takes."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def _of(told: Any, *kinds: type) -> Any:  # noqa: ANN401
    if not isinstance(told, kinds) or (isinstance(told, bool) and bool not in kinds):
        raise Garbled
    return told


def _place(told: Any) -> int:  # noqa: ANN401
    place: int = _of(told, int)
    if place < 0:
        raise Garbled
    return place


def _is_dataclass(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and is_dataclass(kind)


def _is_content(kind: Any) -> bool:  # noqa: ANN401
    return get_origin(kind) is Iterable and get_args(kind) == (bytes,)


def _is_mapping(kind: Any) -> bool:  # noqa: ANN401
    """Keys of JSON are texts, so those of a mapping are texts or words of an enumeration."""
    return get_origin(kind) in (dict, Mapping) and issubclass(get_args(kind)[0], str)


def _is_optional(kind: Any) -> bool:  # noqa: ANN401
    inner = get_args(kind)
    return get_origin(kind) in (Union, types.UnionType) and len(inner) == 2 and type(None) in inner


def _without_none(inner: tuple[Any, ...]) -> Any:  # noqa: ANN401
    return next(kind for kind in inner if kind is not type(None))
