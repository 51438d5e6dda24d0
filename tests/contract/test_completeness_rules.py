"""The kinds of evidence and the rules of completeness exist in the domain, in the database and on their page."""

import contextlib
import itertools
import re
from pathlib import Path
from typing import get_args

import psycopg2
import pytest

from storage.domain.completeness import (
    RULES,
    USES,
    Decision,
    Evidence,
    EvidenceKind,
    SourcePatience,
    StudyFacts,
    Word,
    decide,
)
from storage.settings import ChosenEvidence

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "completeness.md"
_PATIENCE = SourcePatience(60, 3600, 5, frozenset(EvidenceKind))
_ANSWERS = {True: "yes", False: "no", None: ""}


def _rows(cells: int) -> list[tuple[str, ...]]:
    lines = re.findall(r"^\|(.+)\|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    return [row for row in rows if len(row) == cells and set(row[0]) != {"-"}][1:]


def test_the_page_has_the_kinds_of_evidence_of_the_domain() -> None:
    """Each kind stands there with what it may do to the wait, and no other."""
    uses = {(f"`{kind}`", *(_ANSWERS[value] for value in use)) for kind, use in USES.items()}

    assert {row[:4] for row in _rows(5)} == uses
    assert set(USES) == set(EvidenceKind)


def test_the_settings_take_the_kinds_that_are_to_be_chosen() -> None:
    """What is believed without being chosen cannot be named, what needs to be chosen can."""
    assert set(get_args(ChosenEvidence)) == {kind for kind, use in USES.items() if use.chosen}


def test_the_page_has_the_rules_of_the_domain() -> None:
    """Row by row and in the same order, because the first that fits decides."""
    said = [
        (
            *(
                _ANSWERS[value]
                for value in (rule.lacking, rule.whole, rule.gap, rule.evident, rule.quiet, rule.overdue)
            ),
            "complete" if rule.complete else "wait",
            rule.because,
        )
        for rule in RULES
    ]

    assert _rows(8) == said


def test_the_database_has_the_kinds_and_words_of_the_domain(database_url: str) -> None:
    """Its checks list exactly the members of both enumerations."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = 'revision_evidence'::regclass"
        )
        checks = dict(cursor.fetchall())

    listed = {name: set(re.findall(r"'([a-z-]+)'", text)) for name, text in checks.items()}
    assert listed["revision_evidence_kind_known"] == {str(kind) for kind in EvidenceKind}
    assert listed["revision_evidence_word_known"] == {str(word) for word in Word}


@pytest.mark.parametrize("told", [None, *Word])
@pytest.mark.parametrize("geometry", [None, Word.LACKING, Word.SILENT])
def test_every_case_is_decided_as_an_engineer_would_say_it(told: Word | None, geometry: Word | None) -> None:
    """All combinations of what is told, seen and waited for, against a second statement of the rules in plain words."""
    evidence = tuple(
        Evidence(kind, word, "Told.")
        for kind, word in ((EvidenceKind.COMMITMENT, told), (EvidenceKind.GEOMETRY, geometry))
        if word is not None
    )
    for quiet_for, waited in itertools.product((0, 4.9, 5, 59.9, 60, 4000), (0, 60, 3599, 3600, 9000)):
        decision = decide(StudyFacts(10, quiet_for, waited, evidence), _PATIENCE)
        because = _in_plain_words(told, geometry, quiet_for, waited)

        assert (decision.complete, decision.because) == because
        _tells_why(decision, evidence)


def _in_plain_words(told: Word | None, geometry: Word | None, quiet_for: float, waited: float) -> tuple[bool, str]:
    if told is Word.WHOLE and quiet_for >= 5:
        return True, "commitment"
    if told is not Word.LACKING and geometry is not Word.LACKING and quiet_for >= 60:
        return True, "quiet"
    if waited >= 3600:
        return True, "longest-wait"
    if told is Word.LACKING:
        return False, "commitment"
    if geometry is Word.LACKING and quiet_for >= 60:
        return False, "geometry"
    return False, "quiet"


def _tells_why(decision: Decision, evidence: tuple[Evidence, ...]) -> None:
    kinds = [one.kind for one in decision.evidence]
    assert decision.because in kinds
    assert len(kinds) == len(set(kinds))
    assert set(evidence) <= set(decision.evidence)
    assert all(one.sentence.endswith(".") for one in decision.evidence)


def test_the_longest_wait_is_never_shorter_than_the_quiet_time() -> None:
    """A quiet time of a day needs no other longest wait to be kept."""
    slow = SourcePatience(86_400, 3600, 5)

    assert decide(StudyFacts(1, 100, 7200), slow).complete is False
    assert decide(StudyFacts(1, 86_400, 86_400), slow) == decide(StudyFacts(1, 86_400, 90_000), slow)
