"""What a job costs beside its network: from the claim to the stored result, stage by stage.

A PostgreSQL that syncs, an `overread work` with its model child, and one study of CT slices after another, each given
when the one before it is stored; a network of two operators, whose time (stage ``infer``) is taken off. Run as
``.venv/bin/python -m benchmarks.bench_job_overhead [--profiles any ohif …] [--jobs N] [--json FILE]``. Figures with
their machine stand in docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.jobs import samples
from benchmarks.jobs.installation import DoneJob, Installation, installation
from storage.domain.job_statistics import Stage
from storage.domain.viewer_profile import PROFILES

_WARM_UP = 2  # jobs that are not counted: the first one of a worker loads the network


def main() -> int:
    """Measure, print a table, write JSON if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--profiles", nargs="+", choices=list(PROFILES), default=["any", "ohif"])
    options.add_argument("--jobs", type=int, default=20)
    options.add_argument("--slices", type=int, default=236)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    print(f"{asked.slices} slices of {asked.size} × {asked.size}, load before {os.getloadavg()[0]:.1f}")
    figures = []
    with installation() as place:
        for number, profile in enumerate(asked.profiles):
            first = 1 + number * (asked.jobs + _WARM_UP)
            jobs = _jobs(place, profile, range(first, first + asked.jobs + _WARM_UP), asked.slices, asked.size)
            figures.append(_told(profile, jobs))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0


def _jobs(place: Installation, profile: str, studies: Sequence[int], slices: int, size: int) -> list[DoneJob]:
    done = []
    with place.worker(profile):
        for number in studies:
            datasets = samples.study(number, slices, size)
            done.append(place.done(place.receive(datasets)))
            place.forget_images(datasets)
    return done[_WARM_UP:]


def _told(profile: str, jobs: Sequence[DoneJob]) -> dict[str, object]:
    rows = {
        "claim to stored": [job.seconds for job in jobs],
        **{str(stage): [job.stages.get(stage, 0.0) for job in jobs] for stage in Stage},
        "in no stage": [job.seconds - sum(job.stages.values()) for job in jobs],
        "overhead": [job.overhead for job in jobs],
    }
    load = os.getloadavg()[0]
    print(
        f"profile {profile}: {len(jobs)} jobs, {jobs[0].objects} objects of {jobs[0].size / 2**20:.1f} MiB, "
        f"load {load:.1f}"
    )
    figure: dict[str, object] = {"profile": profile, "jobs": len(jobs), "load": load}
    for name, seconds in rows.items():
        p50, p95 = _percentile(seconds, 50), _percentile(seconds, 95)
        print(f"  {name:<16} p50 {p50 * 1000:7.0f} ms   p95 {p95 * 1000:7.0f} ms", flush=True)
        figure[name] = {"p50": p50, "p95": p95}
    return figure


def _percentile(values: Sequence[float], percent: int) -> float:
    """Linear between the values, as NumPy does it; of one value that one."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
