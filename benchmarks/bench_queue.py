"""How fast the job queue is: ours beside procrastinate, which keeps its jobs in PostgreSQL as well.

Both on one PostgreSQL that syncs each commit, each in a database of its own, in turns: jobs claimed and ended by 1 and
by 4 workers; how long a waiting worker takes to get a job that is scheduled; one claim while many jobs wait, of which
half, the older ones, wait for their time. Run as ``.venv/bin/python -m benchmarks.bench_queue [--jobs N] [--rounds N]
[--depths N …] [--json FILE]``. Figures with their machine stand in docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from benchmarks.queueing.contender import Contender
from benchmarks.queueing.ours import Ours
from benchmarks.queueing.procrastinates import Procrastinate
from storage.objects.layout import DataFolder
from storage.postgres.embedded import EmbeddedPostgres

_WORKERS = (1, 4)
_CLAIMS = 50
_WARM_UP = 10


def main() -> int:
    """Measure, print a table, write JSON if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--jobs", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--depths", type=int, nargs="*", default=[1_000, 100_000, 1_000_000])
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    print(f"load before {os.getloadavg()[0]:.1f}")
    with _contenders() as contenders:
        figures = [
            *_throughput(contenders, asked.jobs, asked.rounds),
            *_wake_ups(contenders, asked.rounds),
            *_depths(contenders, asked.depths),
        ]
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0


@contextlib.contextmanager
def _contenders() -> Iterator[Sequence[Contender]]:
    folder = Path(tempfile.mkdtemp(prefix="overread-bench-queue-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to pass
    server = EmbeddedPostgres(folder / "postgres")
    try:
        server.start()
        with contextlib.closing(Ours(server, DataFolder(folder / "data"))) as ours:
            yield ours, Procrastinate(_another_database(server.owner_url))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _another_database(url: str) -> str:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE other")
    return urlsplit(url)._replace(path="/other").geturl()


def _throughput(contenders: Sequence[Contender], jobs: int, rounds: int) -> list[dict[str, object]]:
    figures = []
    for workers in _WORKERS:
        for contender in contenders:
            contender.throughput(_WARM_UP, workers)
        rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                rates[contender.name].append(jobs / contender.throughput(jobs, workers))
        figures += [
            _told(f"claimed and ended per second, {workers} workers", name, statistics.median(each), "")
            for name, each in rates.items()
        ]
    return figures


def _wake_ups(contenders: Sequence[Contender], rounds: int) -> list[dict[str, object]]:
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            taken[contender.name] += contender.wake_ups(_WARM_UP + _CLAIMS)[_WARM_UP:]
    return [_told("scheduled to claimed", name, *_milliseconds(each)) for name, each in taken.items()]


def _depths(contenders: Sequence[Contender], depths: Sequence[int]) -> list[dict[str, object]]:
    figures = []
    for depth in depths:
        for contender in contenders:
            contender.fill(depth)
            contender.claims(_WARM_UP)
            figures.append(_told(f"one claim, {depth} wait", contender.name, *_milliseconds(contender.claims(_CLAIMS))))
    return figures


def _milliseconds(seconds: Sequence[float]) -> tuple[float, str]:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    return statistics.median(seconds) * 1e3, f"ms, p95 {p95 * 1e3:.1f}"


def _told(what: str, who: str, value: float, unit: str) -> dict[str, object]:
    print(f"{what:45} {who:22} {value:9.1f} {unit}", flush=True)
    return {"what": what, "who": who, "value": value, "unit": unit}


if __name__ == "__main__":
    raise SystemExit(main())
