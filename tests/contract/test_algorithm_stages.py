"""The stages of an algorithm exist three times: in the domain, in the database and on their page; here held equal."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from storage.domain.algorithm import STAGES, AlgorithmEvent, AlgorithmStage, next_stage
from storage.errors import InvalidTransition

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "algorithm-stages.md"
_AS_TEXT = {(str(stage), str(event), str(after)) for (stage, event), after in STAGES.items()}


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    """A cursor that commits at once."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as opened:
            yield opened


def _insert(cursor: Any, stage: str) -> None:
    cursor.execute(
        "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
        "VALUES ('lungs', '1', %s, '', repeat('a', 64), repeat('b', 64))",
        (stage,),
    )


def test_the_page_has_the_table_of_the_domain() -> None:
    """Each row of the page is a transition of the domain, and none is missing."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| .+ \|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {row for row in rows if row[0] != "from"} == _AS_TEXT


@pytest.mark.parametrize(("before", "after"), list(itertools.product(AlgorithmStage, AlgorithmStage)))
def test_the_database_moves_a_version_exactly_as_the_domain_allows(
    cursor: Any, before: AlgorithmStage, after: AlgorithmStage
) -> None:
    """Every pair of stages is tried; a change outside the table is refused by the trigger."""
    allowed = before == after or any((stage, to) == (before, after) for (stage, _), to in STAGES.items())
    _insert(cursor, str(before))

    with contextlib.nullcontext() if allowed else pytest.raises(psycopg2.errors.CheckViolation, match="may not go"):
        cursor.execute("UPDATE algorithm SET stage = %s", (str(after),))

    cursor.execute("SELECT stage FROM algorithm")
    assert cursor.fetchone() == (str(after if allowed else before),)


def test_the_database_knows_no_other_stage(cursor: Any) -> None:
    """The CHECK constraint holds exactly the domain's words."""
    cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'algorithm_stage_known'")
    assert set(re.findall(r"'(\w+)'", cursor.fetchone()[0])) == set(map(str, AlgorithmStage))

    with pytest.raises(psycopg2.errors.CheckViolation, match="algorithm_stage_known"):
        _insert(cursor, "beta")


def test_a_decision_that_changes_nothing_is_refused() -> None:
    """Whoever decides what is so already is told, in words that name the version."""
    refused = {pair for pair in itertools.product(AlgorithmStage, AlgorithmEvent) if pair not in STAGES}

    assert len(refused) == 3
    for stage, event in refused:
        with pytest.raises(InvalidTransition, match=r"lungs 1 is (active|retired|in shadow) already"):
            next_stage(stage, event, "lungs 1")
