"""The words of feedback exist three times: in the domain, in the database and on their page."""

import contextlib
import itertools
import re
from pathlib import Path

import psycopg2
import psycopg2.errors

from storage.domain.feedback import SPOKEN, FeedbackSource, Verdict

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


def test_each_object_that_speaks_has_its_audit_and_page() -> None:
    """The page names the audit action and the permission."""
    assert re.search(r"`feedback-given`", _PAGE)
    assert re.search(r"`give-feedback`", _PAGE)
