"""`overread monitor` as an administrator uses it."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from overread.commands.monitor import monitor
from storage.domain.job_statistics import Acquisition
from storage.housekeeping.watch_drift import watch_drift
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from tests.integration.postgres.conftest import Hospital
from tests.peers.monitored_results import SETTINGS, remember, spread


@pytest.fixture
def site(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    """A scanner that has drifted, looked at; the settings lead to its database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", database_url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    database = open_database(database_url, "test")
    made = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    made.install()
    remember(made.url, [*spread(1, 60), *spread(2, 40, shift=100.0)])
    watch_drift(database, SETTINGS)
    yield made
    made.queue.close()
    database.close()


def _run(*words: str) -> Result:
    result = CliRunner().invoke(monitor, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_table_has_the_word_and_the_number(site: Hospital) -> None:
    """With and without a name; the counts of the comparison stand beside the figures."""
    for words in ((), ("lungs",)):
        told = _run(*words).output
        assert "lungs 1 (active)" in told
        assert "drifted" in told
        assert "40 against 60" in told
        assert "0.50 / 0.50" in told


def test_json_is_the_same_facts(site: Hospital) -> None:
    """For programs; other windows are looked at afresh and not kept."""
    (group,) = json.loads(_run("lungs", "--json").output)["algorithms"][0]["groups"]
    (fresh,) = json.loads(_run("--json", "--last", "10").output)["algorithms"][0]["groups"]

    assert (group["drift"]["state"], group["drift"]["window_results"]) == ("drifted", 40)
    assert fresh["drift"]["looked_at"] is None
    assert fresh["drift"]["state"] == "too few", "of 100 results the first 200 are the baseline of the usual settings"
    assert site.rows("SELECT state FROM drift") == [("drifted",)]


def test_a_baseline_is_shown_set_and_given_back(site: Hospital) -> None:
    """Without an option it is shown; dates that say nothing are refused with how to use it."""
    assert "its first 200 results" in _run("baseline", "lungs", "1").output
    assert "from 2020-01-01 00:00Z to" in _run("baseline", "lungs", "1", "--from", "2020-01-01").output
    assert site.audited("monitoring-baseline-set") == 1
    assert "its first 200 results" in _run("baseline", "lungs", "1", "--first").output
    for wrong in (
        ("--to", "2020-01-01"),
        ("--first", "--from", "2020-01-01"),
        ("--from", "2021-01-01", "--to", "2020-01-01"),
    ):
        assert CliRunner().invoke(monitor, ("baseline", "lungs", "1", *wrong)).exit_code == 2


def test_a_job_is_shown(site: Hospital) -> None:
    """What is kept of it, line by line."""
    arrivals = site.stable_study("1.2.9")
    job = site.claimed()
    (statistics,) = spread(3, 1)
    site.queue.complete_analysed(job, replace(site.result(arrivals), statistics=statistics, evidence=()), [])

    told = _run("show", str(job.job_id)).output

    assert f"Job {job.job_id}: lungs 1" in told
    assert "scanner  ACME A" in told
    assert "score Volume of Brain (cm3)" in told
    assert "stage infer" in told
    names = [line.split()[0] for line in told.splitlines() if line.startswith("  ") and "mean" not in line]
    assert names[: len(fields(Acquisition))] == [one.name for one in fields(Acquisition)]
    assert json.loads(_run("show", str(job.job_id), "--json").output)["scores"] == statistics.scores


def test_versions_are_compared(site: Hospital) -> None:
    """The studies that both have been through, with the list of those to look at."""
    site.install(version="2")
    site.algorithms.promote("lungs", "1", "alice")
    site.algorithms.shadow("lungs", "2", "alice")
    arrivals = site.stable_study("1.2.9")
    for seed in (1, 2):
        (statistics,) = spread(seed, 1)
        statistics.scores["Volume of Brain (cm3)"] = 1000.0 * seed
        statistics.scores["Surface Area of Mesh of Brain (mm2)"] = 13_020.0 * seed
        statistics.scores.update({"Dice of Brain with 1": 0.62} if seed == 2 else {})
        site.queue.complete_analysed(
            site.claimed(), replace(site.result(arrivals), statistics=statistics, evidence=()), []
        )

    told = _run("compare", "lungs", "1", "2", "--list").output

    assert "lungs: 1 and 2 on 1 study;" in told
    assert "They disagree on 1 of 1 study." in told
    assert "1.2.9  jobs" in told
    assert "Surface Area of Mesh of Brain (mm2): 13020 / 26040" in told
    assert "13020 to 13020" in " ".join(told.split())
    assert "Volume of Brain (cm3): 1000 / 2000" in told
    assert "Brain 1 0.620 0.620" in " ".join(told.split())
    assert "Brain: Dice 0.620" in told
    assert "Dice 0.620" not in _run("compare", "lungs", "1", "2", "--list", "--dice", "0.6").output
    assert json.loads(_run("compare", "lungs", "1", "2", "--json").output)["numbers"][-1]["bias"] == 1000


@pytest.mark.parametrize("words", [("--days", "nan"), ("--days", "1e308"), ("--window-days", "nan")])
def test_a_span_of_no_length_is_a_mistake_of_whoever_asks(site: Hospital, words: tuple[str, str]) -> None:
    """It is told as one, and not as a fault of the database."""
    asked = CliRunner().invoke(monitor, words, catch_exceptions=False)

    assert asked.exit_code == 2
    assert f"Invalid value for '{words[0]}'" in asked.output
