"""Sending results: `overread deliver` beside DCMTK's `storescu`, to the same storescp, in turns.

A PostgreSQL that syncs and results that wait, each a segmentation and a report. Ours claims each result, checks the
digest of its files, sends them and writes what was answered, with its audit rows; `storescu` sends the same files and
keeps no record. Run as ``.venv/bin/python -m benchmarks.bench_delivery [--results N] [--rounds N] [--nagle] [--json
FILE]``. Figures with their machine stand in docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.delivery.archive import Archive, archive
from benchmarks.delivery.senders import Figure, Results, deliver, storescu
from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.rights import grant_service_rights
from storage.settings import JobSettings
from tests.peers.result_desk import ResultDesk

_BYTES_EACH = (500_000, 20_000)  # a segmentation of some structures, and its report
_OURS: Mapping[str, Mapping[str, Any]] = {
    "overread deliver": {},
    "overread deliver, an association a result": {"results_per_association": 1},
    "overread deliver, 4 associations": {"associations": 4},
}
_PEERS = {"storescu": True, "storescu, an association a result": False}  # whether all goes over one association


def main() -> int:
    """Measure, print a table, write JSON if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--results", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--nagle", action="store_true", help="leave Nagle's algorithm on in DCMTK, as it is installed")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    print(f"{asked.results} results of {_BYTES_EACH} bytes, load before {os.getloadavg()[0]:.1f}")
    folder = Path(tempfile.mkdtemp(prefix="overread-bench-delivery-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to pass
    server = EmbeddedPostgres(folder / "postgres")
    try:
        server.start()
        schema.upgrade(server.owner_url)
        grant_service_rights(server.owner_url, SERVICE_ROLE)
        measured = _measured(server, folder, asked.results, asked.rounds, asked.nagle)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    told = _told(measured, 2 * asked.results)
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1))
    return 0


def _measured(
    server: EmbeddedPostgres, folder: Path, results: int, rounds: int, nagle: bool
) -> dict[str, list[Figure]]:
    measured: dict[str, list[Figure]] = defaultdict(list)
    desk = ResultDesk(server.owner_url, folder / "data", JobSettings())
    owed = Results(desk, folder / "data", results, _BYTES_EACH)
    try:
        with archive(nagle) as place:
            for _ in range(rounds):
                for name, settings in _OURS.items():
                    files = owed.owe()
                    with deliver(server.url, folder / "data", place, folder / "log", settings):
                        figure = _counted(place, 2 * results, lambda: owed.deliver(folder / "log"))
                    measured[name].append(figure)
                for name, together in _PEERS.items():
                    send = partial(storescu, place, files, together=together, nagle=nagle)
                    measured[name].append(_counted(place, 2 * results, send))
    finally:
        desk.close()
    return measured


def _counted(place: Archive, objects: int, send: Callable[[], Figure]) -> Figure:
    """The figure of a sender that sent everything."""
    place.empty()
    figure = send()
    if place.kept() != objects:
        raise RuntimeError(f"The archive has {place.kept()} of {objects} objects, so there is no figure.")
    return figure


def _told(measured: Mapping[str, list[Figure]], objects: int) -> dict[str, Any]:
    """Medians: objects a second, milliseconds of processor an object, and both over those of storescu."""
    peer = _medians(measured["storescu"])
    told: dict[str, Any] = {"objects": objects, "load": os.getloadavg()[0], "senders": {}}
    print(f"{'sender':<44} objects/s   CPU ms/object   of storescu: rate   CPU")
    for name, figures in measured.items():
        seconds, cpu = _medians(figures)
        row = {
            "objects_per_second": objects / seconds,
            "cpu_ms_per_object": 1000 * cpu / objects,
            "rate_of_storescu": peer[0] / seconds,
            "cpu_of_storescu": cpu / peer[1] if peer[1] else None,
        }
        told["senders"][name] = row
        print(
            f"{name:<44} {row['objects_per_second']:9.0f} {row['cpu_ms_per_object']:15.2f} "
            f"{row['rate_of_storescu']:20.2f} {row['cpu_of_storescu'] or 0:5.1f}",
            flush=True,
        )
    return told


def _medians(figures: list[Figure]) -> tuple[float, float]:
    return (
        statistics.median(one.seconds for one in figures),
        statistics.median(one.cpu_seconds for one in figures),
    )


if __name__ == "__main__":
    raise SystemExit(main())
