"""Dataclasses as JSON and bytes, and back: what a field's type says decides, so every field of every class is carried.

Types that can be carried: str, int, float, bool, bytes, Path, date, datetime, enumerations of str, dataclasses of
these; tuples, lists and frozensets of these, and mappings to them from str and its enumerations; ``X | None``; and
``Iterable[bytes]`` for large contents. A field of any other type is refused when it is sent, and by the test of this
module before that.
"""

import hashlib
import json
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
_Contents = Sequence[Sequence[bytes]]
_Teller = Callable[[Any, list[Iterable[bytes]]], Any]
_Reader = Callable[[Any, _Contents], Any]
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
    hashable: Any = kind
    return _teller(hashable)(value, contents), contents


def decode(kind: type[_T], told: Any, contents: Sequence[Sequence[bytes]]) -> _T:  # noqa: ANN401 - JSON
    """The value of this type that was encoded.

    Raises:
        Garbled: it is none.
        TypeError: the type itself cannot be carried.
    """
    try:
        hashable: Any = kind
        value: _T = _reader(hashable)(told, contents)
        return value
    except (ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise Garbled from error


def contract(kinds: Iterable[type]) -> str:
    """A digest of what these types carry: every class and word below them, each field with its type."""
    found: dict[str, Any] = {}
    for kind in kinds:
        _describe(kind, found)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _describe(kind: Any, found: dict[str, Any]) -> None:  # noqa: ANN401
    for inner in get_args(kind):
        _describe(inner, found)
    if not isinstance(kind, type) or kind.__qualname__ in found:
        return
    if issubclass(kind, StrEnum):
        found[kind.__qualname__] = sorted(map(str, kind))
    elif _is_dataclass(kind):
        hashable: Any = kind
        hints = _hints(hashable)
        found[kind.__qualname__] = {name: repr(hint) for name, hint in hints.items()}
        for hint in hints.values():
            _describe(hint, found)


@cache
def _teller(kind: Any) -> _Teller:  # noqa: ANN401
    """What tells values of this type; a study has thousands of fields, so types are looked into once."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return lambda value, _: kind(value)
    if kind is bytes or _is_content(kind):
        return _told_content
    if kind in _AS_TEXT:
        as_text = _AS_TEXT[kind][0]
        return lambda value, _: as_text(value)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda value, _: str(kind(value))
    if _is_dataclass(kind):
        named = tuple((name, _teller(hint)) for name, hint in _hints(kind).items())
        return lambda value, contents: {name: tell(getattr(value, name), contents) for name, tell in named}
    if _is_optional(kind):
        told = _teller(_without_none(inner))
        return lambda value, contents: None if value is None else told(value, contents)
    if origin is tuple and inner[-1:] != (...,):
        each = tuple(map(_teller, inner))
        return lambda value, contents: [tell(part, contents) for tell, part in zip(each, value, strict=True)]
    if origin in (tuple, list):
        one = _teller(inner[0])
        return lambda value, contents: [one(part, contents) for part in value]
    if origin is frozenset:
        member = _teller(inner[0])
        return lambda value, contents: sorted(member(part, contents) for part in value)
    if _is_mapping(kind):
        key, content = map(_teller, inner)
        return lambda value, contents: {key(name, contents): content(part, contents) for name, part in value.items()}
    raise _uncarried(kind)


@cache
def _reader(kind: Any) -> _Reader:  # noqa: ANN401
    """What makes values of this type from what was told."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is float:
        return lambda told, _: float(_of(told, int, float))
    if kind in _PLAIN:
        return lambda told, _: _of(told, kind)
    if kind is bytes:
        return lambda told, contents: b"".join(contents[_place(told)])
    if _is_content(kind):
        return lambda told, contents: tuple(contents[_place(told)])
    if kind in _AS_TEXT:
        from_text = _AS_TEXT[kind][1]
        return lambda told, _: from_text(_of(told, str))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return lambda told, _: kind(_of(told, str))
    if _is_dataclass(kind):
        return _dataclass_reader(kind)
    if _is_optional(kind):
        given = _reader(_without_none(inner))
        return lambda told, contents: None if told is None else given(told, contents)
    if origin is tuple and inner[-1:] != (...,):
        each = tuple(map(_reader, inner))
        return lambda told, contents: tuple(
            read(part, contents) for read, part in zip(each, _of(told, list), strict=True)
        )
    if origin in (tuple, list, frozenset):
        one = _reader(inner[0])
        return lambda told, contents: origin(one(part, contents) for part in _of(told, list))
    if _is_mapping(kind):
        key, content = map(_reader, inner)
        return lambda told, contents: {
            key(name, contents): content(part, contents) for name, part in _of(told, dict).items()
        }
    raise _uncarried(kind)


def _dataclass_reader(kind: Any) -> _Reader:  # noqa: ANN401
    readers = {name: _reader(hint) for name, hint in _hints(kind).items()}
    made: Callable[..., Any] = kind

    def read(told: Any, contents: _Contents) -> Any:  # noqa: ANN401
        if _of(told, dict).keys() != readers.keys():
            raise Garbled
        return made(**{name: reader(told[name], contents) for name, reader in readers.items()})

    return read


def _told_content(value: Any, contents: list[Iterable[bytes]]) -> int:  # noqa: ANN401
    contents.append([value] if isinstance(value, bytes) else value)
    return len(contents) - 1


def _uncarried(kind: Any) -> TypeError:  # noqa: ANN401
    return TypeError(f"A value of the type {kind} cannot be carried between worker and child; teach the codec to.")


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
