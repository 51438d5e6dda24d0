"""Our queue as a worker uses it: each claim and each end is a transaction with its row in the audit trail."""

import contextlib
import threading
import time
from collections.abc import Callable

import psycopg2
from sqlalchemy import text

from benchmarks.queueing.contender import KEPT_FOR_LATER_S
from storage.domain.job import JobKind, Reason
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.rights import grant_service_rights
from storage.postgres.work_signal import announce_work
from storage.settings import JobSettings

_NOTHING_TO_DO = Reason("benchmark", "There is nothing to do.")
_SOURCES = 10
_STUDIES = """
INSERT INTO study (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, revision)
SELECT '1.2.' || n, '', '', '', 1 FROM generate_series(%(first)s, %(last)s) AS n;
INSERT INTO study_revision (study_id, revision) SELECT n, 1 FROM generate_series(%(first)s, %(last)s) AS n
"""
_JOBS = """
INSERT INTO job (kind, study_id, revision, algorithm_id, source, turn)
SELECT 'inference', n, 1, 1, 'CT' || n %% %(sources)s, n / %(sources)s FROM generate_series(%(first)s, %(last)s) AS n
"""
_LATER = """
UPDATE job SET attempt = 1, started_at = now(), due_at = now() + make_interval(secs => %(later)s)
WHERE state = 'scheduled' AND study_id <= %(half)s
"""


class Ours:
    """``PostgresJobQueue`` in threads of this process."""

    name = "Overread"

    def __init__(self, server: EmbeddedPostgres, folder: DataFolder) -> None:
        self._owner_url = server.owner_url
        schema.upgrade(server.owner_url)
        grant_service_rights(server.owner_url, SERVICE_ROLE)
        self._database = open_database(server.url, "benchmark")
        self._store = ObjectStore(folder)
        self._studies = 0
        self._execute(
            "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
            "VALUES ('benchmark', '1', 'active', '', repeat('a', 64), repeat('b', 64))"
        )

    def throughput(self, jobs: int, workers: int) -> float:
        """See ``Contender``."""
        self._schedule(jobs)

        def work() -> None:
            with self._queue() as queue:
                while (job := queue.claim(JobKind.INFERENCE, "benchmark")) is not None:
                    queue.complete_not_analysed(job, _NOTHING_TO_DO, ())

        began = time.perf_counter()
        _together([work] * workers)
        return time.perf_counter() - began

    def wake_ups(self, jobs: int) -> list[float]:
        """See ``Contender``."""
        taken: list[float] = []
        claimed = threading.Semaphore(0)

        def work() -> None:
            with self._queue() as queue:
                while len(taken) < jobs:
                    job = queue.claim(JobKind.INFERENCE, "benchmark")
                    if job is None:
                        queue.wait_for_work(JobKind.INFERENCE, 5)
                        continue
                    taken.append(time.perf_counter())
                    queue.complete_not_analysed(job, _NOTHING_TO_DO, ())
                    claimed.release()

        worker = threading.Thread(target=work)
        worker.start()
        begun = []
        for _ in range(jobs):
            time.sleep(0.02)  # until the worker waits again
            self._study(1)
            begun.append(time.perf_counter())
            with self._database.transaction() as session:
                session.execute(
                    text("INSERT INTO job (kind, study_id, revision, algorithm_id) VALUES ('inference', :study, 1, 1)"),
                    {"study": self._studies},
                )
                announce_work(session, JobKind.INFERENCE)
            claimed.acquire()
        worker.join()
        return [end - begin for begin, end in zip(begun, taken, strict=True)]

    def fill(self, jobs: int) -> None:
        """See ``Contender``."""
        self._execute("TRUNCATE study CASCADE; TRUNCATE job CASCADE; ALTER SEQUENCE study_id_seq RESTART")
        self._studies = 0
        self._schedule(jobs)
        self._execute(_LATER, half=jobs // 2, later=KEPT_FOR_LATER_S)
        self._execute("VACUUM ANALYZE job")

    def claims(self, jobs: int) -> list[float]:
        """See ``Contender``."""
        with self._queue() as queue:
            return [_timed(lambda: queue.claim(JobKind.INFERENCE, "benchmark")) for _ in range(jobs)]

    def close(self) -> None:
        """See ``Contender``."""
        self._database.close()

    def _queue(self) -> "contextlib.closing[PostgresJobQueue]":
        return contextlib.closing(PostgresJobQueue(self._database, self._store, JobSettings()))

    def _schedule(self, jobs: int) -> None:
        first = self._study(jobs)
        self._execute(_JOBS, first=first, last=self._studies, sources=_SOURCES)
        self._execute("VACUUM ANALYZE job")

    def _study(self, count: int) -> int:
        first = self._studies + 1
        self._studies += count
        self._execute(_STUDIES, first=first, last=self._studies)
        return first

    def _execute(self, query: str, **parameters: int) -> None:
        with contextlib.closing(psycopg2.connect(self._owner_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                if not query.startswith("VACUUM"):
                    cursor.execute("SET session_replication_role = replica")  # rows from nowhere, without guards
                cursor.execute(query, parameters or None)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    if act() is None:
        raise SystemExit("There was nothing to claim.")
    return time.perf_counter() - began


def _together(acts: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
