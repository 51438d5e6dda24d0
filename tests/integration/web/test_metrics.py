"""Prometheus reads what stands in the rows, and nothing of any patient."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from listener.web.metrics import METRICS
from tests.peers.web_door import PASSWORD, WebDoor, opened

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
