"""The benchmark of delivery runs real senders, and gives no figure of one that did not send everything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_delivery
from benchmarks.delivery.archive import Archive
from benchmarks.delivery.senders import Figure

_REPOSITORY = Path(__file__).parents[2]


def test_every_sender_is_measured_to_the_same_archive(tmp_path: Path) -> None:
    """Ours in three settings and DCMTK's in two send the same number of objects; table and JSON have each."""
    report = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.bench_delivery", "--results", "2", "--rounds", "1"]

    done = subprocess.run(
        [*command, "--json", str(report)],
        cwd=_REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(_REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["objects"] == 4
    assert set(told["senders"]) == {*bench_delivery._OURS, *bench_delivery._PEERS}
    assert all(one["objects_per_second"] > 0 for one in told["senders"].values())
    assert told["senders"]["storescu"]["rate_of_storescu"] == 1


def test_who_did_not_send_everything_has_no_figure(tmp_path: Path) -> None:
    """An archive with less than was to be sent ends the run."""
    with pytest.raises(RuntimeError, match="0 of 4 objects"):
        bench_delivery._counted(Archive(104, tmp_path), 4, lambda: Figure(1.0, 1.0))
