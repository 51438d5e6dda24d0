"""Studies that are stored, stable and wait for the tiny algorithm; the database and the files are real."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
from pydicom import Dataset

from inference.algorithms.folder import verify
from inference.notice import identity_of, tell
from inference.pipeline import analyse
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from inference.worker import Worker
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival
from storage.domain.association import Association
from storage.domain.job import ClaimedJob, JobKind
from storage.domain.result import NewResult
from storage.domain.viewer_profile import ViewerProfile, wanted_forms
from storage.housekeeping.settle_studies import settle_studies
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_catalog import PostgresStudyCatalog
from storage.settings import JobSettings
from tests.peers.synthetic_series import kept

_DEADLINE_S = 180.0


@dataclass
class Site:
    """One installation without its doors: database, files, and a worker to be run."""

    url: str
    folder: Path

    def __post_init__(self) -> None:
        self.database = open_database(self.url, "tests")
        self.objects = ObjectStore(DataFolder(self.folder / "data"))
        self.jobs = JobSettings(lease_seconds=1.5, max_attempts=3)
        self.queue = PostgresJobQueue(self.database, self.objects, self.jobs)
        self.algorithms = PostgresAlgorithmCatalog(self.database)
        self.studies = PostgresStudyCatalog(self.database, self.objects)
        self.resident = ResidentAlgorithms(WorkerSettings(device="cpu", threads=1))

    def close(self) -> None:
        """Close every connection."""
        self.queue.close()
        self.database.close()

    def install(self, algorithm: Path) -> None:
        """Make an algorithm folder active."""
        verified = verify(algorithm)
        identity = verified.manifest.identity
        self.algorithms.add(
            RegisteredAlgorithm(
                identity.name,
                identity.version,
                AlgorithmStage.ACTIVE,
                algorithm,
                verified.manifest_sha256,
                verified.artifact_sha256,
            ),
            "tests",
        )

    def receive(self, datasets: Sequence[Dataset]) -> None:
        """Keep a study and make it stable, so that it has a job."""
        drafts = self.folder / "drafts"
        drafts.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        association = Association("00000000-0000-4000-8000-000000000001", "MR1", "OVERREAD", "127.0.0.1", now)
        arrivals = []
        for instance in kept(datasets, drafts):
            target = self.objects.instance(instance.header.sop_instance_uid)
            target.parent.mkdir(parents=True, exist_ok=True)
            instance.path.rename(target)
            arrivals.append(Arrival(instance.header, instance.sha256, instance.size, association, now, instance.image))
        PostgresArrivalLog(self.database).record(arrivals, [], [])
        settle_studies(self.database, 0)

    def analyse(self, job: ClaimedJob, *profiles: ViewerProfile) -> Any:
        """The real analysis, for destinations of these profiles."""
        ready = self.resident.ready(self.algorithms.find(job.algorithm_name, job.algorithm_version))
        study = self.studies.stable_study(job.study_instance_uid, job.revision)
        wanted, earlier = wanted_forms(profiles), self.queue.earlier_results(job)
        return analyse(study, ready, job.started_at, b"s" * 32, wanted, earlier=earlier)

    def tell(self, job: ClaimedJob) -> NewResult:
        """The real report on a job without a result."""
        algorithm = identity_of(self.algorithms.find(job.algorithm_name, job.algorithm_version))
        study = self.studies.received(job.study_instance_uid, job.revision)
        return tell(study, self.queue.ended_inference(job), algorithm, b"s" * 32)

    @contextlib.contextmanager
    def worker(
        self, analysis: Callable[[ClaimedJob], Any] | None = None, interrupt: Callable[[], None] = lambda: None
    ) -> Iterator[threading.Event]:
        """A running worker and the event that stops it; leaving the block stops it too."""
        stop = threading.Event()
        duties = {JobKind.NOTICE: self.tell, JobKind.INFERENCE: analysis or self.analyse}
        worker = Worker(self.queue, "worker test:1", duties, ["pacs"], self.jobs.lease_seconds, interrupt=interrupt)
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(_DEADLINE_S)
            assert not thread.is_alive()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def execute(self, statement: str) -> None:
        """Change something behind the worker's back."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def job(self) -> tuple[str, str | None, str | None]:
        """State, outcome and reason code of the only inference job."""
        ((state, outcome, code),) = self.rows("SELECT state, outcome, reason_code FROM job WHERE kind = 'inference'")
        return state, outcome or None, code or None

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; a deadline makes a failure of a wait without end."""
        deadline = time.monotonic() + _DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, "the awaited state did not come"
            threading.Event().wait(0.05)

    def job_when_settled(self) -> tuple[str, str | None, str | None]:
        """The job once it is neither untouched nor in progress."""
        seen = [self.job()]

        def settled() -> bool:
            seen.append(self.job())
            return seen[-1][0] != "in_progress" and seen[-1] != ("scheduled", None, None)

        self.wait_for(settled)
        return seen[-1]

    @contextlib.contextmanager
    def database_away(self) -> Iterator[None]:
        """No connection survives, and no new one is let in, until the block ends."""
        name = urlsplit(self.url).path[1:]
        with contextlib.closing(psycopg2.connect(urlsplit(self.url)._replace(path="/postgres").geturl())) as admin:
            admin.autocommit = True
            cursor = admin.cursor()
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            try:
                yield
            finally:
                cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
def site(database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    """A fresh installation."""
    caplog.set_level(logging.INFO, "inference")
    opened = Site(database_url, tmp_path)
    try:
        yield opened
    finally:
        opened.close()
