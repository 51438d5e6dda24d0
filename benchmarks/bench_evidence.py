"""How long evidence takes to write, and how much memory, ours beside highdicom's plain constructor and dcmqi.

Segmentations of 1, 5, 20 and 100 structures in 300 images of 512 × 512, and reports of 1, 20 and 200 groups. Each
writer has a process of its own, in turns, and gets the same labels; what it wrote is read back and compared voxel by
voxel. Run as ``.venv/bin/python benchmarks/bench_evidence.py [--structures N …] [--rounds N] [--json FILE]``; dcmqi
takes part when its program ``itkimage2segimage`` is on the PATH. Figures with their machine stand in
docs/benchmarks.md.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from evidence.samples import SHAPE, write_sources

_REPORT_GROUPS = (1, 20, 200)
_SEGMENTATIONS = ("ours", "highdicom", "dcmqi")
_REPORTS = ("ours", "highdicom")


def main() -> int:
    """Measure, print a table, write JSON if asked; 1 when a writer's object does not have the labels' voxels."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--structures", type=int, nargs="+", default=[1, 5, 20, 100])
    options.add_argument("--groups", type=int, nargs="*", default=list(_REPORT_GROUPS))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
        folder = Path(name)
        write_sources(folder / "sources")
        for structures in asked.structures:
            figures += _measured("segmentation", _segmentation_writers(), structures, asked.rounds, folder)
        for groups in asked.groups:
            figures += _measured("report", _REPORTS, groups, asked.rounds, folder)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0 if all(figure["equal"] for figure in figures) else 1


def _segmentation_writers() -> tuple[str, ...]:
    if shutil.which("itkimage2segimage"):
        return _SEGMENTATIONS
    print("dcmqi is left out: itkimage2segimage is not on the PATH.", file=sys.stderr)
    return _SEGMENTATIONS[:-1]


def _measured(what: str, writers: tuple[str, ...], count: int, rounds: int, folder: Path) -> list[dict[str, object]]:
    runs: dict[str, list[dict[str, float]]] = {writer: [] for writer in writers}
    for _ in range(rounds):
        for writer in writers:
            runs[writer].append(_run(what, writer, count, folder))
    figures = []
    for writer, ones in runs.items():
        seconds = statistics.median(one["seconds"] for one in ones)
        figure = {
            "what": what,
            "writer": writer,
            "count": count,
            "seconds": seconds,
            "peak_mib": max(one["peak_mib"] for one in ones),
            "file_mib": ones[0]["file_mib"],
            "equal": all(one["equal"] for one in ones),
        }
        ours = statistics.median(one["seconds"] for one in runs["ours"])
        print(
            f"{what} of {count:>3}  {writer:<10} {seconds:7.2f} s ({seconds / ours:5.2f} × ours)  "
            f"peak {figure['peak_mib']:6.0f} MiB above base  file {figure['file_mib']:7.2f} MiB"
            + ("" if figure["equal"] else "  NOT EQUAL"),
            flush=True,
        )
        figures.append(figure)
    return figures


def _run(what: str, writer: str, count: int, folder: Path) -> dict[str, float]:
    """One writer in a process of its own, because peak memory is that of a process."""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "evidence" / "writers.py"), what, writer, str(count), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"The writer {writer} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(f"{SHAPE[0]} images of {SHAPE[1]} × {SHAPE[2]}")
    sys.exit(main())
