"""The benchmark of loading runs, and calls a reader out whose volume is another one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_loading
from benchmarks.loading.readers import READERS

_REPOSITORY = Path(__file__).parents[2]
_SYNTAXES = ("plain", "rle", "jpeg-ls")


def test_every_reader_is_measured_and_compared(tmp_path: Path) -> None:
    """Each reader makes the same volume of each series; table and JSON have all of them."""
    report = tmp_path / "figures.json"
    run = [sys.executable, "-m", "benchmarks.bench_loading", "--slices", "5", "--size", "48", "--rounds", "1"]

    done = subprocess.run(
        [*run, "--syntaxes", *_SYNTAXES, "--json", str(report)],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert {(one["syntax"], one["reader"]) for one in figures} == {(s, r) for s in _SYNTAXES for r in READERS}
    assert all(one["equal"] and one["seconds"] > 0 for one in figures)
    assert all(reader in done.stdout for reader in READERS)


@pytest.mark.parametrize(
    ("syntax", "other", "equal"),
    [
        ("rle", {"digest": "b", "shape": [1], "mean": 1.0}, False),
        ("rle", {"digest": "a", "shape": [1], "mean": 1.0}, True),
        ("jpeg-baseline", {"digest": "b", "shape": [1], "mean": 1.2}, True),
        ("jpeg-baseline", {"digest": "b", "shape": [1], "mean": 9.0}, False),
        ("rle", {"digest": "a", "shape": [2], "mean": 1.0}, False),
    ],
)
def test_a_volume_that_differs_is_not_equal(syntax: str, other: dict[str, object], equal: bool) -> None:
    """Exact where decoding is exact; where decoders may round, the mean tells a wrong one."""
    ours = {"digest": "a", "shape": [1], "mean": 1.0}

    assert bench_loading._equal(syntax, ours, other) is equal
