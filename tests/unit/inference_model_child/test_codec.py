"""Whatever the worker and its child tell each other arrives as it was sent, whole, or not at all."""

import dataclasses
import itertools
import typing
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from inference.model_child.codec import contract, decode, encode
from inference.model_child.messages import ANSWERS, REQUESTS, Analysis
from inference.model_child.wire import Garbled
from storage.domain.finding import Measurement
from storage.domain.job import Reason
from storage.domain.result import EvidenceForm, EvidenceObject, NewResult
from storage.domain.study import StableStudy

_SENT = [*REQUESTS.values(), *ANSWERS.values()]


class _Samples:
    """A value of any type that differs from every default, and from all values before."""

    def __init__(self) -> None:
        self._numbers = itertools.count(7)

    def of(self, kind: Any) -> Any:
        number = next(self._numbers)
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        plain = {
            str: f"text {number}",
            int: number,
            float: number + 0.25,
            bytes: b"bytes %d" % number,
            Path: Path(f"/folder/{number}"),
            datetime: datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=number),
            date: date(2026, 1, 2) + timedelta(days=number),
        }
        if kind is bool:
            return True
        if kind in plain:
            return plain[kind]
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return list(kind)[-1]
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind)
            return kind(**{field.name: self.of(hints[field.name]) for field in dataclasses.fields(kind)})
        if type(None) in inner:
            return self.of(next(one for one in inner if one is not type(None)))
        if origin is tuple and inner[-1] is not Ellipsis:
            return tuple(self.of(one) for one in inner)
        if origin is Iterable:
            return (b"first %d" % number, b"second")
        if origin in (tuple, list, frozenset):
            return origin([self.of(inner[0]), self.of(inner[0])])
        if origin is dict or origin is typing.get_origin(typing.Mapping[str, int]):
            return {self.of(inner[0]): self.of(inner[1])}
        raise AssertionError(f"a field of a message has the type {kind}; teach codec and test to carry it")


def _there_and_back(kind: type, value: Any) -> Any:
    told, contents = encode(kind, value)
    return decode(kind, told, [tuple(content) for content in contents])


def _differences(kind: Any, sent: Any, received: Any, path: str = "") -> Iterator[str]:
    """Every field, at any depth, that is not equal; a class's own equality may leave fields out."""
    if dataclasses.is_dataclass(sent) and type(sent) is type(received):
        for field in dataclasses.fields(sent):
            of_sent, of_received = getattr(sent, field.name), getattr(received, field.name)
            yield from _differences(None, of_sent, of_received, f"{path}.{field.name}")
    elif isinstance(sent, dict) and isinstance(received, dict) and sent.keys() == received.keys():
        for key in sent:
            yield from _differences(None, sent[key], received[key], f"{path}[{key}]")
    elif isinstance(sent, tuple) and isinstance(received, tuple) and len(sent) == len(received):
        for place, (of_sent, of_received) in enumerate(zip(sent, received, strict=True)):
            yield from _differences(None, of_sent, of_received, f"{path}[{place}]")
    elif sent != received or type(sent) is not type(received):
        yield path


@pytest.mark.parametrize("kind", _SENT, ids=lambda kind: kind.__name__)
def test_every_field_of_every_message_is_carried(kind: type) -> None:
    """A field that is added to a study, a result or anything in them arrives too, or this test says which one not."""
    sent = _Samples().of(kind)

    assert list(_differences(kind, sent, _there_and_back(kind, sent))) == []


def test_the_samples_reach_what_messages_are_made_of() -> None:
    """The test above would say nothing if its values were empty."""
    study, result = _Samples().of(StableStudy), _Samples().of(NewResult)

    assert len(study.instances) == len(result.evidence) == len(result.findings) == 2
    assert result.evidence[0].part10.startswith(b"first")


def test_pieces_are_read_one_after_another() -> None:
    """A large file need not be in memory at once: what is given lazily is taken lazily."""
    taken = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"x"

    evidence = dataclasses.replace(_Samples().of(EvidenceObject), pieces=pieces())
    _, contents = encode(EvidenceObject, evidence)

    assert taken == []
    assert b"".join(contents[0]) == b"xxx"


def test_nothing_that_is_absent_becomes_something() -> None:
    """An optional field stays empty, and no number becomes another kind of number."""
    sent = dataclasses.replace(_Samples().of(Measurement), value=3, derivation=None)

    received = _there_and_back(Measurement, sent)

    assert received.derivation is None
    assert isinstance(received.value, float)


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"study": 1},
        "text",
        {"code": "c"},
        {"code": "c", "sentence": "s", "more": 1},
        {"code": 1, "sentence": "s"},
        {"code": True, "sentence": "s"},
    ],
)
def test_what_is_no_reason_is_refused(told: Any) -> None:
    """A child that was taken over gives the worker values of the right types, or nothing."""
    with pytest.raises(Garbled):
        decode(Reason, told, [])


@pytest.mark.parametrize("place", [1, -1, "0", True, None])
def test_contents_that_are_not_there_are_refused(place: Any) -> None:
    """A place in the contents is one that exists."""
    told, contents = encode(EvidenceObject, _Samples().of(EvidenceObject))
    told["pieces"] = place

    with pytest.raises(Garbled):
        decode(EvidenceObject, told, [tuple(content) for content in contents])


def test_an_unknown_word_is_refused() -> None:
    """An enumeration has the members that this release knows."""
    told, contents = encode(EvidenceObject, _Samples().of(EvidenceObject))
    told["form"] = "of-tomorrow"

    with pytest.raises(Garbled):
        decode(EvidenceObject, told, [tuple(content) for content in contents])
    assert EvidenceForm.BINARY  # which does


def test_a_type_that_nobody_taught_is_refused() -> None:
    """Silence would lose a field; an error tells whoever added it."""

    @dataclasses.dataclass
    class New:
        field: complex

    with pytest.raises(TypeError, match="complex"):
        encode(New, New(1j))


def test_a_request_repeats_its_bytes() -> None:
    """The same request is told in the same words, sets included."""
    request = _Samples().of(Analysis)
    request = dataclasses.replace(request, wanted=frozenset(EvidenceForm))

    assert encode(Analysis, request)[0] == encode(Analysis, request)[0]
    assert _there_and_back(Analysis, request).wanted == frozenset(EvidenceForm)


def _spoken(field: str = "name", kind: Any = str, word: str = "one", inside: bool = True) -> str:
    """The contract of a message with one field, and below it, perhaps, a class with one word."""
    words = StrEnum("Words", {"ONE": word})
    below = dataclasses.make_dataclass("Below", [("word", words)])
    fields = [(field, kind), *([("below", tuple[below, ...] | None)] if inside else [])]
    return contract([dataclasses.make_dataclass("Message", fields)])


@pytest.mark.parametrize(
    "change",
    [{"field": "title"}, {"kind": int}, {"word": "other"}, {"inside": False}],
    ids=lambda change: next(iter(change)),
)
def test_the_contract_tells_releases_apart(change: dict[str, Any]) -> None:
    """A field that was renamed, added or has another type, and a word below, make another digest; nothing else does."""
    assert _spoken() == _spoken()
    assert _spoken(**change) != _spoken()
