"""The benchmark of reception runs, and does not praise a receiver that keeps nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]
_RECEIVERS = {
    "overread listen",
    "storescp",
    "storescp --fork",
    "storescp --fork, fastest",
    "storescp --fork, as installed",
    "Orthanc",
    "Orthanc, as installed",
    "pynetdicom durable",
    "pynetdicom plain",
}


def _run(*arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/bench_receive.py", "--smoke", *arguments],
        cwd=_REPOSITORY,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(_REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_every_receiver_is_measured_and_verified(tmp_path: Path) -> None:
    """All receivers store everything they are sent; table and JSON have each of them with the machine."""
    report = tmp_path / "figures.json"

    done = _run("--json", str(report))

    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(report.read_text())
    figures = written["figures"]
    assert written["machine"]["dcmtk"]
    assert {figure["receiver"] for figure in figures} == _RECEIVERS
    assert [figure for figure in figures if figure["wrong"] or figure["failed"]] == []
    assert all(figure["rate"] for figure in figures if figure["what"] == "CT, storescu")
    assert all(label in done.stdout for label in _RECEIVERS)


def test_a_receiver_that_keeps_nothing_is_shown_as_such(tmp_path: Path) -> None:
    """A storescp that answers with success and writes no file is called out, and the exit status is 1."""
    forgetful = tmp_path / "storescp"
    forgetful.write_text('#!/bin/sh\nexec /usr/bin/storescp --ignore "$@"\n')
    forgetful.chmod(0o755)

    done = _run("--only", "storescp", path=f"{tmp_path}:{os.environ['PATH']}")

    assert done.returncode == 1
    assert "4 MISSING OR ALTERED" in done.stdout
