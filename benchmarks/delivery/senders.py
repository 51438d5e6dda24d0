"""The senders that are compared: `overread deliver` from its rows, and DCMTK's storescu from the same files."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.delivery.archive import Archive, without_nagle
from benchmarks.receiving.process_figures import usage
from storage.domain.result import EvidenceRole
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from tests.peers.evidence_files import evidence_object
from tests.peers.result_desk import ResultDesk

_DEADLINE_SECONDS = 300.0
_LATER = (
    "SET LOCAL session_replication_role = replica; "
    "UPDATE job SET due_at = now() + interval '1 day' WHERE state = 'scheduled' AND kind = 'delivery'"
)
# From the commit of the first claim to that of the last acknowledgement, by the database's clock.
_SECONDS = """
SELECT extract(epoch FROM max(ended.recorded_at) - min(claimed.recorded_at))::float8 AS seconds
FROM job
JOIN audit_event AS claimed ON claimed.job_id = job.id AND claimed.action = 'job-claimed'
JOIN audit_event AS ended ON ended.job_id = job.id AND ended.action = 'job-completed'
WHERE job.kind = 'delivery' AND job.id > %s
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one sender took for all objects: by the clock, and of the processors (its own, without any database)."""

    seconds: float
    cpu_seconds: float


class Results:
    """Results that are owed to the archive, of one segmentation and one report each."""

    def __init__(self, desk: ResultDesk, data_dir: Path, count: int, bytes_each: tuple[int, int]) -> None:
        self._desk = desk
        self._data_dir = data_dir
        self._count = count
        self._bytes_each = bytes_each
        self._sent_before = 0

    def owe(self) -> list[list[Path]]:
        """New ones, of which none is due yet; the frozen files of each, segmentation first."""
        before = self._desk.execute("SELECT coalesce(max(id), 0) AS id FROM job")[0]["id"]
        self._sent_before = int(before)
        files = []
        store = ObjectStore(DataFolder(self._data_dir))
        for _ in range(self._count):
            roles = (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT)
            made = [evidence_object(role, size) for role, size in zip(roles, self._bytes_each, strict=True)]
            self._desk.owe(*made)
            rows = self._desk.execute(
                "SELECT sha256 FROM evidence WHERE sop_instance_uid = ANY(%s) ORDER BY role DESC",
                [one.sop_instance_uid for one in made],
            )
            files.append([store.evidence(row["sha256"]) for row in rows])
        self._desk.execute(_LATER)
        return files

    def deliver(self, log: Path) -> Figure:
        """Let them be due, and wait until all are acknowledged."""
        process = int(log.with_suffix(".pid").read_text())
        before = usage(process)
        self._desk.make_due()
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self._desk.execute("SELECT 1 FROM job WHERE kind = 'delivery' AND state <> 'completed' LIMIT 1"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not everything was delivered:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        cpu = (usage(process) - before).cpu
        (row,) = self._desk.execute(_SECONDS, self._sent_before)
        return Figure(row["seconds"], cpu)


@contextmanager
def deliver(url: str, data_dir: Path, place: Archive, log: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """`overread deliver` for this archive, ready to send."""
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": place.port, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(data_dir),
        "OVERREAD_DATABASE_URL": url,
        "OVERREAD_DESTINATIONS": json.dumps([destination]),
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "overread", "deliver"], env=environment, stdout=file, stderr=file
        )
    log.with_suffix(".pid").write_text(str(process.pid))
    try:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while "delivering to" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"overread deliver does not run:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        time.sleep(1)  # its lanes have found that nothing is due
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def storescu(place: Archive, files: Sequence[Sequence[Path]], *, together: bool, nagle: bool) -> Figure:
    """All files over one association, or a process and an association for each result."""
    calls = [[path for result in files for path in result]] if together else [list(result) for result in files]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for paths in calls:
        command = ["storescu", "--required", "--call", "PACS", "127.0.0.1", str(place.port), *map(str, paths)]
        subprocess.run(command, check=True, capture_output=True, env=without_nagle(nagle))
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Figure(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
