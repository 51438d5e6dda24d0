"""How long a series takes to become a volume, ours beside pydicom, SimpleITK's series reader and highdicom.

300 CT slices of 512 × 512, plain and in each compression. Each reader has a process of its own, in turns, and orders
and rescales the slices itself; the volumes are compared. Ours checks the SHA-256 of every file besides, decodes in
processes that may be lost, and is given what the importer recorded; what recording costs is shown. Beside the time on
the clock stands that of the processor, children included: on a machine that does other things too, only it says much.
Each process reads the series twice: the first time stands apart, because it has the start of our decoding processes,
of which a worker has one in its life, and what others import when they first decode.
Run as
``.venv/bin/python -m benchmarks.bench_loading [--syntaxes NAME …] [--slices N] [--size N] [--rounds N] [--json FILE]``.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loading.readers import READERS
from benchmarks.loading.samples import SYNTAXES, write_series

_NOT_EXACT = {"jpeg-extended", "jpeg-baseline"}  # decoders may round the last digit otherwise
_NEAR = 0.5  # of the mean


def main() -> int:
    """Measure, print a table, write JSON if asked; 1 when two volumes differ, or ours cannot be had."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--syntaxes", nargs="+", choices=SYNTAXES, default=list(SYNTAXES))
    options.add_argument("--slices", type=int, default=300)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    figures = []
    timed = f"{'seconds':>9}{'× ours':>8}{'CPU s':>8}{'first, s':>11}{'CPU s':>8}{'peak MiB':>10}"
    print(f"{'':20}{'reader':12}{timed}  volume")
    for syntax in asked.syntaxes:
        with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
            folder = Path(name) / "series"
            write_series(folder, syntax, asked.slices, asked.size)
            figures += _measured(syntax, folder, asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0 if all(figure["equal"] for figure in figures) else 1


def _measured(syntax: str, folder: Path, rounds: int) -> list[dict[str, Any]]:
    runs: dict[str, list[dict[str, Any]]] = {reader: [] for reader in READERS}
    for _ in range(rounds):
        for reader in READERS:
            runs[reader].append(_run(reader, folder))
    ours = runs["ours"][0]
    figures = []
    for reader, ones in runs.items():
        figure: dict[str, Any] = {"syntax": syntax, "reader": reader, "failed": ones[0].get("failed")}
        if figure["failed"]:
            figure["equal"] = reader != "ours"
        else:
            figure["seconds"] = statistics.median(min(one["seconds"]) for one in ones)
            figure["first_seconds"] = statistics.median(one["seconds"][0] for one in ones)
            figure["processor"] = statistics.median(min(one["processor"]) for one in ones)
            figure["first_processor"] = statistics.median(one["processor"][0] for one in ones)
            figure["peak_mib"] = max(one["peak_mib"] for one in ones)
            figure["recording"] = ones[0]["recording"]
            figure["equal"] = _equal(syntax, ours, ones[0])
        figures.append(figure)
        _show(figure, figures[0])
    return figures


def _equal(syntax: str, ours: dict[str, Any], other: dict[str, Any]) -> bool:
    if "digest" not in ours or ours["shape"] != other["shape"]:
        return False
    if syntax in _NOT_EXACT:
        return bool(abs(ours["mean"] - other["mean"]) < _NEAR)
    return bool(ours["digest"] == other["digest"])


def _show(figure: dict[str, Any], ours: dict[str, Any]) -> None:
    if figure["failed"]:
        print(f"{figure['syntax']:20}{figure['reader']:12}   cannot be read ({figure['failed']})")
        return
    ratio = figure["seconds"] / ours["seconds"] if ours.get("seconds") else float("nan")
    said = "equal" if figure["equal"] else "DIFFERS"
    if figure["reader"] == "ours":
        said += f"; recording at import {figure['recording'] * 1000:.0f} ms"
    timed = f"{figure['seconds']:9.2f}{ratio:8.1f}{figure['processor']:8.2f}"
    timed += f"{figure['first_seconds']:11.2f}{figure['first_processor']:8.2f}{figure['peak_mib']:10d}"
    print(f"{figure['syntax']:20}{figure['reader']:12}{timed}  {said}", flush=True)


def _run(reader: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loading.readers", reader, str(folder), "2"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    sys.exit(main())
