"""`overread jobs list`: all of them, or those that somebody looks for."""

import json
import os
from typing import Any

import pytest
from click.testing import CliRunner

from overread.commands.jobs import jobs
from storage.domain.job import Reason


@pytest.fixture
def listed(hospital: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three studies, of which one failed; returns what the command lists as JSON, by the numbers of jobs."""
    monkeypatch.setenv("OVERREAD_CONFIG", os.devnull)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", hospital.url)
    hospital.install()
    for number in (1, 2, 3):
        hospital.stable_study(f"1.2.{number}")
    hospital.queue.fail(hospital.claimed(), Reason("gap", "A slice is missing."))

    def run(*words: str) -> list[int]:
        done = CliRunner().invoke(jobs, ["list", "--json", *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return [job["id"] for job in json.loads(done.output)]

    return run


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [1, 2, 3, 4]),
        (("--state", "failed"), [1]),
        (("--state", "FAILED", "--state", "canceled"), [1]),
        (("--kind", "notice"), [4]),
        (("--kind", "inference", "--state", "scheduled"), [2, 3]),
        (("--study", "1.2.2"), [2]),
        (("--study", "1.2"), []),
        (("--algorithm", "lungs"), [1, 2, 3, 4]),
        (("--algorithm", "lung"), []),
        (("--code", "gap"), [1]),
        (("--last", "2"), [3, 4]),
        (("--kind", "inference", "--last", "1"), [3]),
    ],
)
def test_jobs_are_chosen_by_what_they_are(listed: Any, words: tuple[str, ...], expected: list[int]) -> None:
    """All options hold together, each by the whole word, and the newest of what is left are the last."""
    assert listed(*words) == expected


def test_the_table_has_the_same_jobs(listed: Any) -> None:
    """Without --json a line for each, as `overread status` has them; a state that is none is refused."""
    told = CliRunner().invoke(jobs, ["list", "--study", "1.2.3"], catch_exceptions=False).output

    assert "1.2.3" in told
    assert "1.2.2" not in told
    assert CliRunner().invoke(jobs, ["list", "--state", "asleep"]).exit_code == 2
