"""An installation of its own: a PostgreSQL that syncs, a data folder, and an `overread work` that is left alone."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import yaml
from pydicom import Dataset

from benchmarks.jobs import samples
from inference.algorithms.folder import verify
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival
from storage.domain.association import Association
from storage.housekeeping.settle_studies import settle_studies
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres import schema
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.engine import Database, open_database
from storage.postgres.rights import grant_service_rights
from tests.peers.synthetic_series import kept

_DEADLINE_S = 300.0

# Both are commits as PostgreSQL noted them, so that the transactions themselves count.
_TOLD = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(ended.xmin) - pg_xact_commit_timestamp(claimed.xmin)),
    statistics.stages, (SELECT count(*) FROM evidence WHERE result_id = result.id),
    (SELECT sum(size) FROM evidence WHERE result_id = result.id)
FROM job
JOIN study ON study.id = job.study_id
JOIN audit_event AS claimed ON claimed.job_id = job.id AND claimed.action = 'job-claimed'
JOIN audit_event AS ended ON ended.job_id = job.id AND ended.action = 'job-completed'
JOIN result ON result.job_id = job.id
JOIN result_statistics AS statistics ON statistics.result_id = result.id
WHERE study.study_instance_uid = %s AND job.kind = 'inference'
"""


@dataclass(frozen=True, slots=True)
class DoneJob:
    """One job: seconds from the claim's commit to the result's, those of each stage, and its evidence."""

    seconds: float
    stages: dict[str, float]
    objects: int
    size: int

    @property
    def overhead(self) -> float:
        """What was not the network's."""
        return self.seconds - self.stages["infer"]


class Installation:
    """One installation with one algorithm; studies are put into it as the importer does."""

    def __init__(self, folder: Path, server: EmbeddedPostgres) -> None:
        self.folder = folder
        self._server = server
        self._database: Database = open_database(server.url, "benchmark")
        self._objects = ObjectStore(DataFolder(folder / "data"))
        self._install()

    def close(self) -> None:
        """Let the database go."""
        self._database.close()

    def _install(self) -> None:
        folder = self.folder / "data" / "algorithms" / "bright" / "1.0-benchmark"
        folder.mkdir(parents=True)
        for name, content in samples.algorithm():
            (folder / name).write_bytes(content)
        (folder / "algorithm.yaml").write_text(yaml.safe_dump(samples.manifest()))
        verified = verify(folder)
        PostgresAlgorithmCatalog(self._database).add(
            RegisteredAlgorithm(
                *("bright", "1.0", AlgorithmStage.ACTIVE, folder, verified.manifest_sha256, verified.artifact_sha256)
            ),
            "benchmark",
        )

    def receive(self, datasets: Sequence[Dataset]) -> str:
        """Keep a study and make it stable, so that it has a job; return its UID."""
        drafts = self.folder / "drafts"
        drafts.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        association = Association("00000000-0000-4000-8000-000000000001", "CT1", "OVERREAD", "127.0.0.1", now)
        arrivals = []
        for instance in kept(datasets, drafts):
            target = self._objects.instance(instance.header.sop_instance_uid)
            target.parent.mkdir(parents=True, exist_ok=True)
            instance.path.rename(target)
            arrivals.append(Arrival(instance.header, instance.sha256, instance.size, association, now, instance.image))
        PostgresArrivalLog(self._database).record(arrivals, [], [])
        os.sync()  # else the result's sync would pay for the images
        settle_studies(self._database, 0)
        return str(datasets[0].StudyInstanceUID)

    def done(self, study_instance_uid: str) -> DoneJob:
        """The job of this study, once it has ended."""
        deadline = time.monotonic() + _DEADLINE_S
        with contextlib.closing(psycopg2.connect(self._server.owner_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while time.monotonic() < deadline:
                cursor.execute(_TOLD, (study_instance_uid,))
                row = cursor.fetchone()
                if row is not None:
                    return DoneJob(float(row[0]), row[1], int(row[2]), int(row[3]))
                time.sleep(0.1)  # seldom, so that looking costs the job nothing
        raise SystemExit(f"The job did not end within {_DEADLINE_S:.0f} s.\n{self._log()}")

    def forget_images(self, datasets: Sequence[Dataset]) -> None:
        """Give the disk back what a study that was measured holds."""
        for ds in datasets:
            self._objects.instance(str(ds.SOPInstanceUID)).unlink()

    @contextlib.contextmanager
    def worker(self, profile: str) -> Iterator[None]:
        """An `overread work` with one destination of this profile; nobody sends."""
        place = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "profile": profile}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")} | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(self.folder / "data"),
            "OVERREAD_DATABASE_URL": self._server.url,
            "OVERREAD_DESTINATIONS": json.dumps([place]),
            "OVERREAD_WORKER_DEVICE": "cpu",
        }
        with (self.folder / "log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "overread", "work"], env=environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def installation() -> Iterator[Installation]:
    """A fresh one, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="overread-bench-jobs-"))
    folder.chmod(0o711)  # PostgreSQL's account must be able to pass
    server = EmbeddedPostgres(folder / "postgres", ("track_commit_timestamp=on",))
    try:
        server.start()
        schema.upgrade(server.owner_url)
        grant_service_rights(server.owner_url, SERVICE_ROLE)
        with contextlib.closing(Installation(folder, server)) as opened:
            yield opened
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
