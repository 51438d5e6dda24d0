"""Each kind of golden pair has a file of its own, and the page of algorithm folders has its arrays."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from inference.algorithms.golden import AnyGolden

_KINDS = get_args(AnyGolden)
_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "algorithm-folder.md"


def test_each_kind_of_pair_has_a_file_of_its_own() -> None:
    """Who changes one kind reads no other."""
    assert len({kind.__module__ for kind in _KINDS}) == len(_KINDS) == 4


@pytest.mark.parametrize("kind", _KINDS)
def test_the_page_names_every_array(kind: type) -> None:
    """A pair can be written by hand after the page."""
    named = set(re.findall(r"`(\w+)`", _PAGE.read_text(encoding="utf-8")))

    assert {field.name for field in fields(kind)} <= named
