"""The states of a proof of arrival exist three times: in the domain, in the database and on their page."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from storage.domain.proof import FAILURE_RULES, TRANSITIONS, ProofEvent, ProofState

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "proof-of-arrival.md"
_AS_TEXT = {(str(state), str(event), str(after)) for (state, event), after in TRANSITIONS.items()}

_PROOF = """
SET session_replication_role = replica; -- nothing but the proof matters here
INSERT INTO delivery_proof (delivery_id, destination, way) VALUES (1, 'pacs', 'query');
SET session_replication_role = origin;
"""
_MOVE = """
UPDATE delivery_proof SET state = %(state)s, request_uid = '2.25.1', note = 'Because.',
    proven_at = CASE WHEN %(state)s = 'proven' THEN now() END
"""


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    """A cursor that commits at once, over one proof that is owed."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as opened:
            opened.execute(_PROOF)
            yield opened


def test_the_page_has_the_table_of_the_domain() -> None:
    """Each row of the page is a transition of the domain, and none is missing."""
    rows = re.findall(
        r"^\| ([\w-]+) \| ([\w-]+) \| ([\w-]+) \| .+ \|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert {row for row in rows if row[0] not in ("from", "---")} == _AS_TEXT


def test_the_page_has_the_failure_reasons_of_the_domain() -> None:
    """Each Failure Reason that we know stands on the page with what becomes of the object, and no other."""
    rows = re.findall(r"^\| `(0x[0-9A-F]{4})` \| ([\w-]+) \|", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert dict(rows) == {f"0x{reason:04X}": str(rule.word) for reason, rule in FAILURE_RULES.items()}


def test_the_database_has_the_table_of_the_domain(cursor: Any) -> None:
    """The rows that the trigger reads are the domain's transitions."""
    cursor.execute("SELECT from_state, event, to_state FROM proof_transition")

    assert set(cursor.fetchall()) == _AS_TEXT


def test_every_event_of_the_domain_can_happen() -> None:
    """No event is without a row, and every state but the first can be reached."""
    assert {event for _, event in TRANSITIONS} == set(ProofEvent)
    assert set(TRANSITIONS.values()) == set(ProofState)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ProofState, ProofState)))
def test_the_database_moves_a_proof_exactly_as_the_domain_allows(
    cursor: Any, before: ProofState, after: ProofState
) -> None:
    """Every pair of states is tried; a change outside the table is refused by the trigger."""
    allowed = any((state, to) == (before, after) for (state, _), to in TRANSITIONS.items())
    cursor.execute("ALTER TABLE delivery_proof DISABLE TRIGGER delivery_proof_follows_its_states")
    cursor.execute(_MOVE, {"state": str(before)})
    cursor.execute("ALTER TABLE delivery_proof ENABLE TRIGGER delivery_proof_follows_its_states")

    with contextlib.nullcontext() if allowed else pytest.raises(psycopg2.errors.CheckViolation, match="may not go"):
        cursor.execute(_MOVE, {"state": str(after)})

    cursor.execute("SELECT state FROM delivery_proof")
    assert cursor.fetchone() == (str(after if allowed else before),)


def test_a_proof_begins_as_owed(cursor: Any) -> None:
    """A proof cannot be made in any other state."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="a new proof is owed"):
        cursor.execute(
            "INSERT INTO delivery_proof (delivery_id, destination, way, state, proven_at) "
            "VALUES (2, 'pacs', 'query', 'proven', now())"
        )
