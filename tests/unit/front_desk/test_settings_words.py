"""Mistakes in the settings are told in words."""

from collections.abc import Iterator
from typing import Any

import pytest

from overread.settings import Settings
from overread.settings_words import PATTERNS_IN_WORDS, place_in_words


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from _patterns(part)
    if isinstance(schema, list):
        for part in schema:
            yield from _patterns(part)


def test_every_pattern_of_a_setting_has_words() -> None:
    """A new one without words would end `overread config check` in a traceback, a removed one would stay here."""
    assert {*_patterns(Settings.model_json_schema())} == {*PATTERNS_IN_WORDS}


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (("listener", "port"), "listener.port"),
        (("profiles", 0), "entry 1 of profiles"),
        (("profiles", 0, "report", 1), "entry 2 of report in entry 1 of profiles"),
        (("listener", "peers", 1, "ae_title"), "ae_title in entry 2 of listener.peers"),
    ],
)
def test_a_place_is_told_from_the_inside_and_counted_from_one(location: tuple[str | int, ...], words: str) -> None:
    """Administrators count from 1, and an index between dots means nothing to them."""
    assert place_in_words(location) == words
