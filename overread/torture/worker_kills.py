"""SIGKILL of the worker in the middle of its jobs: each study has its one result, with the bytes it would have had."""

import hashlib
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from overread.errors import TortureFailed
from overread.torture.outcome import Outcome
from overread.torture.processes import descendants
from overread.torture.stand import Stand, kill_quietly
from storage.domain.job import JobState
from storage.settings import JobSettings

_LEASE_S = 2.0
_JOBS = JobSettings(lease_seconds=_LEASE_S, max_attempts=1000)
# In the order in which a job comes by them, as its board says; of those between, none lasts long. The last is ours.
_STEPS = ("claim", "algorithm", "select", "load", "infer", "encode", "store")
_WITHIN_S = 0.2  # from the beginning of a step the kill comes, so that the middle of each is hit, and what lies behind
_BETWEEN = {"preprocess": "infer", "postprocess": "encode"}
_ROWS = """
SELECT study_instance_uid, job.id, job.state, coalesce(job.outcome, ''), job.attempt, job.revision, job.started_at,
    coalesce(worker, '')
FROM job JOIN study ON study.id = study_id WHERE job.kind = 'inference' ORDER BY job.id
"""
_EVIDENCE = """
SELECT study_instance_uid, result.id, role, evidence.sha256
FROM result JOIN job ON job.id = job_id JOIN study ON study.id = study_id
LEFT JOIN evidence ON evidence.result_id = result.id ORDER BY result.id, evidence.id
"""


def workers(rounds: int, source: random.Random) -> Outcome:
    """Kill the worker at a moment of a job chosen by chance, again and again, on plain and on compressed studies.

    ``acknowledged`` are the studies.
    """
    outcome = Outcome("workers", "")
    with Stand("workers") as stand, _Ward(stand, source) as ward:
        ward.start_worker()
        for number in range(rounds):
            ward.receive(compressed=number % 2 == 1)
            ward.wait_for_job()
            ward.wait_for_step(source.choice(_STEPS))
            time.sleep(source.uniform(0, _WITHIN_S))
            ward.kill_worker()
            ward.start_worker()
        ward.wait_until_done()
        outcome.acknowledged = rounds
        steps = ", ".join(f"{step} {count}" for step, count in sorted(ward.hit.items()))
        outcome.done = f"{rounds} SIGKILLs of the worker ({steps})"
        for fault in ward.faults():
            outcome.fault(fault, stand)
    return outcome


@dataclass(frozen=True, slots=True)
class _Job:
    study_instance_uid: str
    job_id: int
    state: str
    outcome: str
    attempt: int
    revision: int
    started_at: Any
    worker: str


class _Ward:
    """A worker on a stand, the studies that it is given, and what is known of their jobs."""

    def __init__(self, stand: Stand, source: random.Random) -> None:
        self._stand, self._source = stand, source
        self._worker: subprocess.Popen[bytes] | None = None
        self._process_id = self._frozen_before = 0
        self.hit: Counter[str] = Counter()

    def __enter__(self) -> "_Ward":
        logging.getLogger("storage.housekeeping").setLevel(logging.ERROR)  # every kill is a lease that runs out
        from overread.torture.analysed_studies import install
        from storage.objects.layout import DataFolder
        from storage.objects.object_store import ObjectStore
        from storage.postgres.engine import open_database

        self._stand.data_dir.mkdir(parents=True, exist_ok=True)
        self._folder = DataFolder(self._stand.data_dir)
        self._objects = ObjectStore(self._folder)
        self._database = open_database(self._stand.database_url, "overread torture")
        self._algorithm = install(self._database, self._stand.data_dir)
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._end()
        self._database.close()

    def receive(self, *, compressed: bool) -> None:
        """One more stable study, with its job."""
        from overread.torture.analysed_studies import keep, make_study
        from storage.housekeeping.settle_studies import settle_studies

        keep(self._database, self._objects, make_study(self._source, compressed=compressed))
        settle_studies(self._database, 0)

    def start_worker(self) -> None:
        """Start it and go on; it is ready some seconds later."""
        environment = self._stand.environment() | {
            "OVERREAD_JOBS_LEASE_SECONDS": str(_LEASE_S),
            "OVERREAD_JOBS_MAX_ATTEMPTS": str(_JOBS.max_attempts),
            "OVERREAD_WORKER_DEVICE": "cpu",
        }
        with (self._stand.folder / "log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "overread", "work"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._process_id = self._worker.pid

    def kill_worker(self) -> None:
        """SIGKILL it, note in which step, and see that whatever it started ends with it."""
        assert self._worker is not None  # noqa: S101 - it was started
        step = self._step()
        self._end()
        self.hit[step if self._holds_a_job() else "completed"] += 1

    def _end(self) -> None:
        assert self._worker is not None  # noqa: S101
        together = descendants(self._worker.pid)
        kill_quietly(self._worker.pid)
        self._worker.wait()
        self._worker = None
        gone = [Path(f"/proc/{pid}") for pid in together]
        self._stand.wait_until(lambda: not any(map(_runs, gone)), "whatever the worker started ends with it")

    def wait_for_job(self) -> None:
        """Return when the worker has one, which may be one that was taken from its predecessors."""
        self._stand.wait_until(lambda: self._rescued() and self._holds_a_job(), "the worker holds a job")
        self._frozen_before = self._frozen()

    def _holds_a_job(self) -> bool:
        """Whether the worker that was started last has one, or had one when it was killed."""
        return any(
            job.state == JobState.IN_PROGRESS and job.worker.endswith(f":{self._process_id}") for job in self._jobs()
        )

    def _rescued(self) -> bool:
        """Do what the housekeeper does for jobs whose worker fell silent."""
        from storage.housekeeping.rescue_leases import rescue_leases

        rescue_leases(self._database, _JOBS)
        return True  # so that it can be said beside what is awaited

    def wait_for_step(self, wanted: str) -> None:
        """Return when the job that the worker holds has come to this step, or is past it."""
        self._stand.wait_until(
            lambda: _STEPS.index(self._step()) >= _STEPS.index(wanted) or not self._holds_a_job(),
            f"a job comes to the step {wanted}",
        )

    def _step(self) -> str:
        """The step of the job, as the board between worker and child says; evidence on disk is being stored."""
        assert self._worker is not None  # noqa: S101
        said = _said(self._worker.pid)
        step = next((one for one in reversed(_STEPS) if one == said), _BETWEEN.get(said, "claim"))
        return "store" if step == "encode" and self._frozen() > self._frozen_before else step

    def _frozen(self) -> int:
        return sum(1 for _ in self._folder.evidence.rglob("*.*"))

    def wait_until_done(self) -> None:
        """Wait until every job has ended; what a killed worker held is given to the next one, as the housekeeper does.

        Raises:
            TortureFailed: one did not.
        """
        while left := self._left():
            self._wait_for_fewer(left)

    def _wait_for_fewer(self, left: int) -> None:
        self._stand.wait_until(lambda: self._left() < left, "another study is analysed")

    def _left(self) -> int:
        if self._worker is not None and self._worker.poll() is not None:
            raise TortureFailed(f"The worker ended by itself.\n{self._stand.log()}")
        self._rescued()
        return sum(job.state != JobState.COMPLETED for job in self._jobs())

    def faults(self) -> Iterator[str]:
        """What is not as if nobody had killed anything."""
        rows = self._ask(_EVIDENCE)
        for job in self._jobs():
            of_job = [row[1:] for row in rows if row[0] == job.study_instance_uid]
            results = {result for result, _, _ in of_job}
            if job.outcome != "analysed" or len(results) != 1:
                yield f"study {job.study_instance_uid} has {len(results)} results, and its job is {job.state}"
                continue
            kept = sorted((role, sha256) for _, role, sha256 in of_job)
            if kept != sorted(self._expected(job)):
                yield f"the evidence of study {job.study_instance_uid} is not what an undisturbed worker makes"
            for _, sha256 in kept:
                path = self._objects.evidence(sha256)
                if not path.is_file() or _sha256(path.read_bytes()) != sha256:
                    yield f"a file of the evidence of study {job.study_instance_uid} is not what its row says"
        if self._verified() != 0:
            yield "the audit trail does not verify"

    def _expected(self, job: _Job) -> list[tuple[str, str]]:
        """Role and digest of each object that the job makes when it is done here, at once and by nobody disturbed."""
        from inference.pipeline import analyse
        from inference.resident_algorithms import ResidentAlgorithms
        from inference.settings import WorkerSettings
        from storage.domain.result import NewResult
        from storage.domain.viewer_profile import wanted_forms
        from storage.objects.site_secret import site_secret
        from storage.postgres.study_catalog import PostgresStudyCatalog

        study = PostgresStudyCatalog(self._database, self._objects).stable_study(job.study_instance_uid, job.revision)
        ready = ResidentAlgorithms(WorkerSettings(device="cpu")).ready(self._algorithm)
        made = analyse(study, ready, job.started_at, site_secret(self._folder), wanted_forms(()))
        assert isinstance(made, NewResult)  # noqa: S101 - it has a bright box
        return [(str(one.role), _sha256(one.part10)) for one in made.evidence]

    def _verified(self) -> int:
        command = [sys.executable, "-P", "-m", "overread", "audit", "verify"]
        return subprocess.run(command, env=self._stand.environment(), capture_output=True, check=False).returncode

    def _jobs(self) -> list[_Job]:
        return [_Job(*row) for row in self._ask(_ROWS)]

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with _connected(self._stand.database_url) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _said(worker: int) -> str:
    """The step that the worker's child has entered last; empty before it has begun with a job."""
    from inference.model_child.board import StageBoard

    for descriptor in Path(f"/proc/{worker}/fd").iterdir():
        if "memfd:stage" in os.readlink(descriptor):  # noqa: PTH115 - a Path would resolve it
            opened = StageBoard(os.open(descriptor, os.O_RDWR))
            try:
                return opened.read()[0]
            finally:
                opened.close()
    return ""


def _runs(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
