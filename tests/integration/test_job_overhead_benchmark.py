"""The benchmark of a job's overhead runs a real worker and adds up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_job_overhead
from benchmarks.jobs.installation import DoneJob
from storage.domain.job_statistics import Stage

_REPOSITORY = Path(__file__).parents[2]


def test_a_job_is_measured_stage_by_stage(tmp_path: Path) -> None:
    """Every stage has its line and figure, and together they are no longer than the job."""
    report = tmp_path / "figures.json"
    run = [sys.executable, "-m", "benchmarks.bench_job_overhead", "--jobs", "2", "--slices", "5", "--size", "48"]

    done = subprocess.run(
        [*run, "--profiles", "planning", "--json", str(report)],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (figure,) = json.loads(report.read_text())
    assert (figure["profile"], figure["jobs"]) == ("planning", 2)
    for stage in (Stage.SELECT, Stage.LOAD, Stage.ENCODE, Stage.STORE):
        assert figure[stage]["p50"] > 0
        assert f"  {stage}" in done.stdout
    assert figure["in no stage"]["p50"] > 0
    assert figure["overhead"]["p95"] <= figure["claim to stored"]["p95"]
    assert "load" in done.stdout


def test_the_network_is_no_overhead(capsys: pytest.CaptureFixture[str]) -> None:
    """What the network takes is taken off, and nothing else; the table says the middle and the slow end."""
    jobs = [DoneJob(seconds, {"infer": 0.5, "load": 0.2}, 4, 2**20) for seconds in (1.0, 1.2, 1.4)]

    figure = bench_job_overhead._told("any", jobs)

    assert figure["overhead"] == pytest.approx({"p50": 0.7, "p95": 0.88})
    assert figure["in no stage"] == pytest.approx({"p50": 0.5, "p95": 0.68})
    assert "overhead         p50     700 ms   p95     880 ms" in capsys.readouterr().out
