"""What the page on monitoring says of real rows, the overview's line, and the figures for Prometheus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from listener.web.pages.monitoring_page import PLOT_HEIGHT, PLOT_WIDTH, steps
from overread.commands.monitor import monitor
from storage.housekeeping.watch_drift import watch_drift
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from tests.integration.postgres.conftest import Hospital
from tests.peers.monitored_results import SETTINGS, remember, spread
from tests.peers.web_door import PASSWORD, WebDoor


@pytest.fixture
def hospital(database_url: str, tmp_path: Path) -> Iterator[Hospital]:
    """A scanner that has drifted and one that has not, looked at."""
    database = open_database(database_url, "test")
    made = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    made.install()
    for scanner, shift in (("A<1>", 100.0), ("B", 0.0)):
        remember(made.url, [*spread(1, 60, scanner=scanner), *spread(2, 40, scanner=scanner, shift=shift)])
    watch_drift(database, SETTINGS)
    yield made
    made.queue.close()
    database.close()


def test_an_empty_site_has_nothing_to_watch(web_door: WebDoor) -> None:
    """Before anything was analysed the page says so, and the overview has no line."""
    viewer = web_door.logged_in("viewer")

    assert "No algorithm has done anything in the last 7 days" in viewer.get("/monitoring").text
    assert "drifted" not in viewer.get("/").text


def test_the_page_shows_words_and_figures(web_door: WebDoor, hospital: Hospital) -> None:
    """Each scanner has its word, its number, its times and a drawing; nothing it says is taken for HTML."""
    page = web_door.logged_in("auditor").get("/monitoring").text

    words = re.findall(r'<span class="state [a-z]+">(drifted|stable|watch|too few)</span>', page)
    assert words == ["drifted", "stable"]
    assert "ACME A&lt;1&gt;" in page
    assert page.count("<svg") == 2
    assert "40 against 60 results" in page
    assert "0.50 / 0.50" in page
    assert re.search(r"received \w+: stability index \d+\.\d\d, D 0\.\d\d", page)
    assert "<script>" not in page
    assert "style=" not in page, "the page's policy allows no style in an element"


def test_the_overview_tells_of_a_drift(web_door: WebDoor, hospital: Hospital) -> None:
    """One line among what needs a look, which leads to the page."""
    overview = web_door.logged_in("viewer").get("/").text

    assert re.search(r'<a href="/monitoring">lungs 1</a> on ACME A&lt;1&gt;', overview)
    assert "is no longer as in the baseline" in overview


def test_prometheus_is_told_of_a_drift(web_door: WebDoor, hospital: Hospital) -> None:
    """One alarm of the version, and the index of each scanner and protocol."""
    answer = web_door.browser().get("/metrics", auth=("operator", PASSWORD))
    figures = {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }

    assert figures["overread_drift_alarms"] == {("lungs", "1"): 1.0}
    assert {labels[2] for labels in figures["overread_drift_index"]} == {"ACME A<1>", "ACME B"}
    assert max(figures["overread_drift_index"].values()) > 0.25


def test_command_page_and_metrics_tell_one_state(
    web_door: WebDoor, hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, figures and alarms of each scanner are the same wherever somebody looks, during a drift and after it."""
    monkeypatch.setenv("OVERREAD_DATABASE_URL", hospital.url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))

    assert _agreed(web_door) == (["drifted", "stable"], 1)

    remember(hospital.url, spread(3, 40, scanner="A<1>"))  # the scanner is as it was
    watch_drift(hospital.database, SETTINGS)

    assert _agreed(web_door) == (["stable", "stable"], 0)


def _agreed(web_door: WebDoor) -> tuple[list[str], int]:
    """The words of the scanners and the number of alarms, when all three say the same."""
    result = CliRunner().invoke(monitor, ["--json"], catch_exceptions=False)
    told = json.loads(result.output)
    groups = [group for algorithm in told["algorithms"] for group in algorithm["groups"]]
    words = [group["drift"]["state"] for group in groups]
    page = web_door.logged_in("auditor").get("/monitoring").text
    answer = web_door.browser().get("/metrics", auth=("operator", PASSWORD))
    figures = {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }
    assert re.findall(r'<span class="state [a-z]+">(drifted|stable|watch|too few)</span>', page) == words
    assert {labels[2]: round(index, 9) for labels, index in figures["overread_drift_index"].items()} == {
        group["scanner"]: round(group["drift"]["comparisons"][0]["index"], 9) for group in groups
    }
    alarms = len(told["alarms"])
    assert figures["overread_drift_alarms"] == {("lungs", "1"): alarms}
    assert web_door.logged_in("viewer").get("/").text.count("no longer as in the baseline") == alarms
    return words, alarms


def test_a_drawing_is_as_high_as_its_highest_share() -> None:
    """Bars touch, begin and end on the ground, and the highest reaches the top."""
    points = [tuple(map(float, point.split(","))) for point in steps([0.25, 0.5], 0.5).split()]

    assert points[0] == (0, PLOT_HEIGHT)
    assert points[-1] == (PLOT_WIDTH, PLOT_HEIGHT)
    assert (0, PLOT_HEIGHT / 2) in points
    assert (PLOT_WIDTH, 0) in points
    assert steps([], 1) == ""
