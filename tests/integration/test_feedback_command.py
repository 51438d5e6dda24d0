"""`overread feedback` and the page on agreement, as those use them who look after an algorithm."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from overread.commands.feedback import feedback
from storage.domain.feedback import Verdict
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.feedback_rows import PostgresFeedbackBook
from tests.integration.postgres.conftest import Hospital
from tests.integration.postgres.test_feedback import finding, found, said
from tests.peers.web_door import opened


@pytest.fixture
def site(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    """Two versions: of the first three findings of four were judged, one of them twice; of the second none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", database_url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    database = open_database(database_url, "test")
    made = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    made.install()
    found(made, "1.2.3", finding("2.25.1"), finding("2.25.2", "=Spleen"), finding("2.25.3", "Kidney"))
    found(made, "1.2.4")
    book = PostgresFeedbackBook(database)
    for result_id, study, uid, verdict in [
        (1, "1.2.3", "2.25.1", Verdict.REJECT),
        (1, "1.2.3", "2.25.1", Verdict.ACCEPT),
        (1, "1.2.3", "2.25.2", Verdict.ACCEPT),
        (2, "1.2.4", "", Verdict.REJECT),
    ]:
        book.give(study, said(result_id, uid, verdict))
    made.install(version="2")
    found(made, "1.2.5", finding("2.25.9"))
    yield made
    made.queue.close()
    database.close()


def _run(*words: str) -> str:
    result = CliRunner().invoke(feedback, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_agreement_is_the_same_in_every_form(site: Hospital) -> None:
    """JSON, CSV and the table have the counts; the share has its interval, and what nobody judged has none."""
    rows = json.loads(_run("agreement", "--json"))
    table = list(csv.DictReader(_run("agreement", "lungs", "--csv").splitlines()))

    assert [list(row.values()) for row in rows] == [
        ["lungs", "2", "active", 1, 1, 0, 0, 0, 0, None, None, None],
        ["lungs", "1", "retired", 2, 4, 3, 2, 1, 0]
        + [pytest.approx(value, abs=1e-4) for value in (2 / 3, 0.2077, 0.9385)],
    ]
    assert [{name: str(value or 0) for name, value in row.items()} for row in rows] == [
        {name: value or "0" for name, value in row.items()} for row in table
    ]
    shown = " ".join(_run("agreement").split())
    assert "lungs 1 retired 2 4 3 2 1 0 66.7% (20.8% to 93.9%)" in shown
    assert "lungs 2 active 1 1 0 0 0 0 –" in shown


def test_the_list_tells_each_verdict_and_which_counts(site: Hospital) -> None:
    """Newest first, by algorithm, study and verdict; a name that a spreadsheet would compute is made text."""
    rows = json.loads(_run("list", "--json"))

    assert [(row["finding"], row["said"], row["verdict"], row["counts"]) for row in rows] == [
        ("Whole result", "nothing found", "reject", True),
        ("=Spleen", "outlined", "accept", True),
        ("Liver", "outlined", "accept", True),
        ("Liver", "outlined", "reject", False),
    ]
    rejected = list(csv.DictReader(_run("list", "--study", "1.2.3", "--verdict", "reject", "--csv").splitlines()))
    assert [(row["tracking_uid"], row["actor"]) for row in rejected] == [("2.25.1", "anna")]
    assert "'=Spleen" in _run("list", "--algorithm", "lungs", "--csv")
    assert _run("list", "--algorithm", "spleens") == "Nobody has said anything yet.\n"
    assert "--most shows more" in _run("list", "--most", "2")
    assert CliRunner().invoke(feedback, ["list", "--json", "--csv"]).exit_code == 2


def test_the_page_draws_each_share_with_its_interval(site: Hospital, database_url: str, tmp_path: Path) -> None:
    """The point lies between the ends of its line, on an axis from 0 to 100 %; an auditor sees counts and no study."""
    with opened(database_url, tmp_path) as door:
        page = door.logged_in("auditor").get("/agreement").text

    lines = re.findall(r'<line class="range" x1="([\d.]+)" x2="([\d.]+)"', page)
    points = re.findall(r'<circle class="share" cx="([\d.]+)"', page)
    assert (lines, points) == ([("53.3", "220.0")], ["158.0"])
    assert "66.7 %" in page
    assert "nothing judged" in page
    assert "1.2.3" not in page
    assert "style=" not in page, "the page's policy allows no style in an element"
