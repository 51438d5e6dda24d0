"""The words of feedback exist three times: in the domain, in the database and on their page."""

import contextlib
import itertools
import re
from pathlib import Path

import psycopg2
import psycopg2.errors
from pydicom.sr._concepts_dict import concepts as CONCEPTS

from storage.domain.derived_object import exclusion_by_class
from storage.domain.feedback import SPOKEN, FeedbackSource, Verdict
from storage.domain.returned_object import (
    KEY_OBJECT_SELECTION,
    REJECTION_TITLES,
    REPORT_CLASSES,
    RETURNED_SENTENCES,
    RULES,
    SEGMENTATION_CLASSES,
    ReturnedOutcome,
    ReturnRule,
)
from storage.domain.study import ExclusionRule

_PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "feedback.md").read_text(encoding="utf-8")
_INSERT = (
    "SET session_replication_role = replica; INSERT INTO feedback (result_id, tracking_uid, verdict, source, "
    "sop_instance_uid, actor) VALUES (1, '', %s, %s, %s, 'anna')"
)


def _table(heading: str) -> list[tuple[str, ...]]:
    """The rows of the page's table whose first column has this heading."""
    part = _PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in part.splitlines()[2:]]


def test_the_page_has_the_words_of_the_domain() -> None:
    """Each verdict and each source stands on the page, and no other."""
    assert [row[0] for row in _table("verdict")] == [str(word) for word in Verdict]
    assert [row[0] for row in _table("source")] == [str(word) for word in FeedbackSource]


def test_the_database_takes_the_words_of_the_domain_and_no_other(database_url: str) -> None:
    """A verdict of a person names no object, and one of an object does; an unknown word is refused."""
    refused = []
    combinations = itertools.product([*Verdict, "perhaps"], [*FeedbackSource, "mail"], ["", "2.25.1"])
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        for verdict, source, uid in combinations:
            try:
                cursor.execute(_INSERT, (verdict, source, uid))
            except psycopg2.errors.CheckViolation:
                refused.append((verdict, source, uid))
            connection.rollback()

    expected = [
        (verdict, source, uid)
        for verdict, source, uid in itertools.product([*Verdict, "perhaps"], [*FeedbackSource, "mail"], ["", "2.25.1"])
        if verdict == "perhaps" or source == "mail" or (source in SPOKEN) != (uid == "")
    ]
    assert refused == expected


def test_the_page_has_the_rules_of_the_domain() -> None:
    """Each rule stands on the page with its kind of object and its verdict, each title and outcome with its meaning."""
    rules = {row[0]: (row[1], row[3]) for row in _table("rule")}

    assert rules == {str(rule): (str(source), str(verdict)) for rule, (source, verdict) in RULES.items()}
    assert dict(_table("title")) == REJECTION_TITLES
    assert dict(_table("outcome")) == {str(outcome): said for outcome, said in RETURNED_SENTENCES.items()}
    assert set(RULES) == set(ReturnRule)
    assert set(RETURNED_SENTENCES) == set(ReturnedOutcome)


def test_titles_of_rejection_notes_are_those_of_the_standard() -> None:
    """Value and meaning as pydicom has them of PS3.16 annex D."""
    known = _dcm_meanings()

    assert {code: known[code] for code in REJECTION_TITLES} == REJECTION_TITLES


def test_the_trigger_takes_the_classes_of_the_domain(database_url: str) -> None:
    """Its condition names the families that the domain names, and no other."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'instance_may_speak'")
        (definition,) = cursor.fetchone()

    families = {REPORT_CLASSES, SEGMENTATION_CLASSES}
    assert set(re.findall(r"'(1\.2\.[\d.]+)'", definition)) == families
    assert set(re.findall(r"'([a-z]+-[a-z]+)'", definition)) == {ExclusionRule.OWN_RESULT, ExclusionRule.DERIVED_OBJECT}
    assert all(exclusion_by_class(f"{family}1") is ExclusionRule.DERIVED_OBJECT for family in families)
    assert KEY_OBJECT_SELECTION.startswith(REPORT_CLASSES)


def _dcm_meanings() -> dict[str, str]:
    """Code Value to Code Meaning of DCM."""
    return {code: meaning for entries in CONCEPTS["DCM"].values() for code, (meaning, _) in entries.items()}


def test_each_object_that_speaks_has_its_audit_and_page() -> None:
    """The page names the audit action and the permission."""
    assert re.search(r"`feedback-given`", _PAGE)
    assert re.search(r"`give-feedback`", _PAGE)
