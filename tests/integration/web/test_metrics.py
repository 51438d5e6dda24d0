"""Prometheus reads what stands in the rows, and nothing of any patient."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from listener.scu.settings import DestinationSettings
from listener.web.metrics import METRICS
from overread.commands.status import status
from storage.domain.job import Reason
from storage.domain.lane import PausePolicy
from storage.housekeeping.rescue_leases import rescue_leases
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.lane_rows import PostgresLanes
from storage.postgres.site_reading import PostgresSiteReading
from storage.settings import JobSettings
from tests.integration.postgres.conftest import Hospital
from tests.peers.web_door import PASSWORD, WebDoor, opened

_LEASE_OVER = "UPDATE job SET lease_expires_at = now() - interval '1 minute' WHERE state = 'in_progress'"
RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "overread.rules.yaml"
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def _scraped(web_door: WebDoor) -> dict[str, dict[tuple[str, ...], float]]:
    answer = web_door.browser().get("/metrics", auth=("operator", PASSWORD))
    assert answer.status_code == 200
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }


def test_the_page_describes_every_metric() -> None:
    """docs/reference/metrics.md has a line for each metric of the code, with its type, labels and meaning."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `overread_")]

    assert lines == [
        f"| `{name}` | {described.kind} | {', '.join(described.labels) or '–'} | {described.meaning} |"
        for name, described in METRICS.items()
    ]


def test_every_alarm_is_of_metrics_that_there_are() -> None:
    """The rules, the page and the metrics speak of the same; a counter has its suffix in a rule."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    exposed = {f"{name}_total" if one.kind == "counter" else name for name, one in METRICS.items()}
    lines = re.findall(r"^\| `(Overread\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert [rule["alert"] for rule in rules] == lines
    for rule in rules:
        assert set(re.findall(r"overread_\w+", rule["expr"])) <= exposed
        assert rule["annotations"]["summary"].endswith(".")


def test_alarms_on_growth_are_of_counters() -> None:
    """What can shrink may grow and shrink between two looks: nothing is asked of it but its value."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    over_time = [found for rule in rules for found in re.findall(r"(\w+)\((\w+)[^()]*\[\w+\]\)", rule["expr"])]

    assert {function for function, _ in over_time} == {"increase"}
    assert all(METRICS[name.removesuffix("_total")].kind == "counter" for _, name in over_time)
    assert len(over_time) == sum(rule["expr"].count("[") for rule in rules)


def test_trouble_that_was_dealt_with_stays_counted(web_door: WebDoor, database_url: str, tmp_path: Path) -> None:
    """The state of a study is better than before, and the numbers that alarms look at have grown all the same."""
    database = open_database(database_url, "test")
    hospital = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    try:
        hospital.install()
        hospital.stable_study()
        assert _growing(_scraped(web_door)) == [0, 0, 0, 0]

        hospital.queue.fail(hospital.claimed(), Reason("trouble", "Something went wrong."))
        assert _growing(_scraped(web_door)) == [0, 1, 0, 0]
        (failed,) = hospital.rows("SELECT id FROM job WHERE state = 'failed' AND kind = 'inference'")
        hospital.queue.resubmit(failed[0], "alice")
        hospital.claimed()
        hospital.expire_leases()
        assert rescue_leases(database, JobSettings()) == 1
        hospital.receive(hospital.arrival("1.2.2"), hospital.arrival("1.2.2", patient_id="P2"))
        hospital.arrivals.record([], [hospital.quarantined("1.2.11")], [])
        for _ in range(2):  # two associations, which are two rows of the trail
            hospital.receive(hospital.arrival("1.2.3", sop_class_uid=_PRESENTATION_STATE))

        figures = _scraped(web_door)
        assert figures["overread_excluded_instances"] == {
            ("own-result",): 0, ("self-test",): 0, ("ai-result",): 0, ("derived-object",): 2
        }  # fmt: skip
        assert figures["overread_studies"]["failed",] == 0
        assert _growing(figures) == [1, 1, 1, 1]
        assert PostgresSiteReading(database).events_ever()["given_up"] == {"inference": 1}  # of a door started again
    finally:
        hospital.queue.close()
        database.close()


_PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"


def _growing(figures: dict[str, dict[tuple[str, ...], float]]) -> list[float]:
    names = ("worker_silences", "jobs_given_up", "studies_parked", "objects_set_aside")
    return [sum(figures[f"overread_{name}"].values()) for name in names]


def test_a_worker_that_vanished_is_told_everywhere(
    web_door: WebDoor, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault F3: first the job is stuck, then taken from its worker; once another one did the work, nothing is told."""
    database = open_database(database_url, "test")
    hospital = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    monkeypatch.setenv("OVERREAD_DATABASE_URL", database_url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(tmp_path))
    try:
        hospital.install()
        arrivals = hospital.stable_study()
        hospital.claimed()
        with database.transaction() as session:
            session.execute(text(_LEASE_OVER))

        assert _told(web_door) == (1, 0)
        assert "Nobody takes it back" in web_door.logged_in("viewer").get("/").text
        assert "analysis by lungs 1 without a worker" in _status()
        assert "start `overread housekeep`" in _status()

        assert rescue_leases(database, JobSettings()) == 1

        assert _told(web_door) == (0, 1)
        assert "1 job taken from a worker that fell silent" in web_door.logged_in("viewer").get("/").text
        assert "analysis by lungs 1 tried again" in _status()
        assert "The worker fell silent during attempt 1" in _status()

        hospital.rows("SET LOCAL session_replication_role = replica; UPDATE job SET due_at = now()")
        another = hospital.claimed()
        assert _told(web_door) == (0, 1)

        hospital.queue.complete_analysed(another, hospital.result(arrivals), ())

        assert _told(web_door) == (0, 0)
        assert "fell silent" not in web_door.logged_in("viewer").get("/").text
        assert "fell silent" not in _status()
    finally:
        hospital.queue.close()
        database.close()


def _told(web_door: WebDoor) -> tuple[float, float]:
    figures = _scraped(web_door)
    return figures["overread_stuck_jobs"][()], figures["overread_silent_worker_jobs"][()]


def _status() -> str:
    result = CliRunner().invoke(status, [], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_paused_destination_is_told_by_metrics_and_dashboard(database_url: str, tmp_path: Path) -> None:
    """While it pauses the figure is 1 and the first page says why; afterwards neither does."""
    place = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
    database = open_database(database_url, "test")
    lanes = PostgresLanes(database)
    try:
        with opened(database_url, tmp_path, (place,)) as door:
            lanes.note_failure("pacs", PausePolicy(1, 60, 300), "It is away.")
            assert _scraped(door)["overread_lane_paused"] == {("pacs",): 1}
            assert "It is away." in door.logged_in("viewer").get("/").text

            lanes.resume("pacs")
            assert _scraped(door)["overread_lane_paused"] == {("pacs",): 0}
            assert "It is away." not in door.logged_in("viewer").get("/").text
    finally:
        database.close()


def test_an_empty_site_gives_every_metric(web_door: WebDoor) -> None:
    """Every state has a series from the start, so that an alarm on its growth sees the first one."""
    figures = _scraped(web_door)

    assert set(figures) == set(METRICS)
    assert figures["overread_database_up"] == {(): 1.0}
    assert figures["overread_studies"]["failed",] == 0
    assert figures["overread_jobs"]["inference", "scheduled"] == 0


def test_what_prometheus_may_not_read_without_a_login(web_door: WebDoor) -> None:
    """Without name and password, or with those of a viewer, there is no figure."""
    browser = web_door.browser()

    assert browser.get("/metrics").status_code == 401
    assert browser.get("/metrics", auth=("viewer", PASSWORD)).status_code == 403
    assert browser.get("/metrics", auth=("operator", "wrong password")).status_code == 401
    assert "overread_" not in browser.get("/metrics").text


def test_a_site_may_open_its_metrics(database_url: str, tmp_path: Path) -> None:
    """`[web] metrics_without_login = true` needs no account."""
    with opened(database_url, tmp_path, metrics_without_login=True) as door:
        assert "overread_database_up 1.0" in door.browser().get("/metrics").text
