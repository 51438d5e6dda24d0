"""From the last image to the report in the PACS: what a radiologist waits for, without quiet time and network.

A whole Overread (`overread up`), DCMTK's storescu as modality and storescp as PACS; one study of CT slices after
another, a network of two operators. From the reception of the last image to the PACS's acknowledgement of the report,
less ``quiet_seconds`` and the stage ``infer``. Run as ``.venv/bin/python -m benchmarks.bench_end_to_end [--studies N]
[--slices N] [--json FILE]``. Figures with their machine stand in docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import yaml
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.jobs import samples

_QUIET_S = 1.0
_WARM_UP = 2  # studies that are not counted: the first one loads the network
_DEADLINE_S = 300.0
_PARTS = ("imported", "complete", "claimed", "analysed", "delivered")

# The moments of one study, in seconds since its last image; without a row until its report has been acknowledged.
_MOMENTS = """
SELECT extract(epoch FROM imported_at - sent_at), extract(epoch FROM stable_at - sent_at),
    extract(epoch FROM started_at - sent_at), extract(epoch FROM finished_at - sent_at),
    extract(epoch FROM reported_at - sent_at), infer
FROM (
    SELECT
        (SELECT max(received_at) FROM instance WHERE study_id = study.id AND excluded_rule IS NULL) AS sent_at,
        (SELECT max(recorded_at) FROM instance WHERE study_id = study.id AND excluded_rule IS NULL) AS imported_at,
        revision.stable_at,
        job.started_at,
        job.finished_at,
        (
            SELECT max(acknowledged_at)
            FROM delivery
            JOIN evidence ON evidence.id = evidence_id
            WHERE evidence.result_id = result.id AND evidence.role = 'report'
        ) AS reported_at,
        (result_statistics.stages ->> 'infer')::float AS infer
    FROM study
    JOIN study_revision AS revision ON revision.study_id = study.id
    JOIN job ON job.study_id = study.id AND job.kind = 'inference'
    JOIN result ON result.job_id = job.id
    JOIN result_statistics ON result_statistics.result_id = result.id
    WHERE study_instance_uid = %s
) AS study
WHERE reported_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Story:
    """Seconds since the last image of one study, in the order of ``_PARTS``, and those of the network."""

    moments: tuple[float, ...]
    infer: float

    @property
    def overhead(self) -> float:
        """What was neither quiet time nor the network's."""
        return self.moments[-1] - _QUIET_S - self.infer

    def part(self, place: int) -> float:
        """From the moment before to this one, less what is not ours."""
        before = self.moments[place - 1] if place else 0.0
        not_ours = {"complete": _QUIET_S, "analysed": self.infer}.get(_PARTS[place], 0.0)
        return self.moments[place] - before - not_ours


def main() -> int:
    """Measure, print a table, write JSON if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=50)
    options.add_argument("--slices", type=int, default=236)
    options.add_argument("--size", type=int, default=512)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    print(f"{asked.studies} studies of {asked.slices} slices of {asked.size} × {asked.size}, ", end="")
    print(f"load before {os.getloadavg()[0]:.1f}")
    folder = Path(tempfile.mkdtemp(prefix="overread-bench-end-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to pass
    try:
        with _pacs(folder) as pacs_port, _overread(folder, pacs_port) as port:
            stories = [
                _story(folder, port, samples.study(number, asked.slices, asked.size))
                for number in range(1, asked.studies + _WARM_UP + 1)
            ][_WARM_UP:]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {"end to end": _told("end to end", [story.overhead for story in stories])} | {
        part: _told(part, [story.part(place) for story in stories]) for place, part in enumerate(_PARTS)
    }
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0


def _told(what: str, seconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    print(f"{what:12} p50 {p50 * 1e3:6.0f} ms   p95 {p95 * 1e3:6.0f} ms", flush=True)
    return {"p50": p50, "p95": p95}


def _story(folder: Path, port: int, datasets: Sequence[Dataset]) -> Story:
    images = folder / "images"
    images.mkdir()
    for place, ds in enumerate(datasets):
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(images / f"{place:04}.dcm", enforce_file_format=True)
    os.sync()  # else the service's syncs would pay for the sender's files
    subprocess.run(
        ["storescu", "-aec", "OVERREAD", "+sd", "127.0.0.1", str(port), str(images)],
        check=True,
        env=os.environ | {"TCP_NODELAY": "1"},
    )
    story = _told_by_the_database(folder, str(datasets[0].StudyInstanceUID))
    shutil.rmtree(images)
    return story


def _told_by_the_database(folder: Path, study_instance_uid: str) -> Story:
    url = (folder / "data" / "postgres" / "url").read_text()
    deadline = time.monotonic() + _DEADLINE_S
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        while time.monotonic() < deadline:
            time.sleep(0.25)  # seldom, so that looking costs the service nothing
            cursor.execute(_MOMENTS, (study_instance_uid,))
            if (row := cursor.fetchone()) is not None:
                *moments, infer = map(float, row)
                return Story(tuple(moments), infer)
    raise SystemExit(f"No report within {_DEADLINE_S:.0f} s.\n{(folder / 'log').read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def _pacs(folder: Path) -> Iterator[int]:
    port = _free_port()
    with (folder / "pacs.log").open("ab") as log:
        pacs = subprocess.Popen(
            ["storescp", "--ignore", "-aet", "PACS", str(port)],
            stdout=log,
            stderr=log,
            env=os.environ | {"TCP_NODELAY": "1"},
        )
    try:
        yield port
    finally:
        pacs.terminate()
        pacs.wait()


@contextlib.contextmanager
def _overread(folder: Path, pacs_port: int) -> Iterator[int]:
    port = _free_port()
    destinations = [{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(folder / "data"),
        "OVERREAD_LISTENER_PORT": str(port),
        "OVERREAD_WEB_PORT": "0",
        "OVERREAD_STUDY_QUIET_SECONDS": str(_QUIET_S),
        "OVERREAD_DESTINATIONS": json.dumps(destinations),
        "OVERREAD_WORKER_DEVICE": "cpu",
    }
    overread = [sys.executable, "-m", "overread"]
    subprocess.run([*overread, "algorithms", "add", str(_algorithm(folder))], check=True, env=environment)
    with (folder / "log").open("ab") as log:
        service = subprocess.Popen([*overread, "up"], env=environment, stdout=log, stderr=log)
    try:
        _wait_for(port)
        yield port
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)


def _algorithm(folder: Path) -> Path:
    algorithm = folder / "bright"
    algorithm.mkdir()
    for name, content in samples.algorithm():
        (algorithm / name).write_bytes(content)
    (algorithm / "algorithm.yaml").write_text(yaml.safe_dump(samples.manifest()))
    return algorithm


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("Overread did not start.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
