"""Results that are owed to a destination, made as an inference worker makes them, and what became of them."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from pydicom.uid import generate_uid

from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival
from storage.domain.association import Association
from storage.domain.job import JobKind, Reason
from storage.domain.result import EvidenceObject, NewResult
from storage.domain.study import InstanceHeader
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_settlement import settle_next_study
from storage.settings import JobSettings


class ResultDesk:
    """A database and a data folder with results waiting to be delivered."""

    def __init__(self, database_url: str, data_dir: Path, jobs: JobSettings) -> None:
        self.database_url = database_url
        self.data_dir = data_dir
        self.jobs = jobs
        self.database = open_database(database_url, "test")
        self.store = ObjectStore(DataFolder(data_dir))
        self.queue = PostgresJobQueue(self.database, self.store, jobs)
        self.log = PostgresDeliveryLog(self.database, self.store)

    def close(self) -> None:
        """Give the connections back."""
        self.queue.close()
        self.database.close()

    def add_result(self, *evidence: EvidenceObject, destinations: tuple[str, ...] = ()) -> None:
        """Let the newest study be complete and analysed, with ``evidence`` as what was found."""
        self._settle()
        job = self.queue.claim(JobKind.INFERENCE, "test")
        assert job is not None
        self.queue.complete_analysed(job, self._result(evidence), destinations)

    def owe(self, *evidence: EvidenceObject, destinations: tuple[str, ...] = ("pacs",)) -> None:
        """Let one analysed study owe ``evidence`` to the destinations."""
        self._receive()
        self.add_result(*evidence, destinations=destinations)

    def _receive(self) -> None:
        instance = InstanceHeader("1.2.840.10008.5.1.4.1.1.2", *(generate_uid() for _ in range(3)), "1.2.840.10008.1.2")
        association = Association("00000000-0000-0000-0000-000000000000", "CT1", "OVERREAD", "127.0.0.1", _now())
        PostgresArrivalLog(self.database).record([Arrival(instance, "c" * 64, 1, association, _now())], [], [])

    def _settle(self) -> None:
        PostgresAlgorithmCatalog(self.database).add(
            RegisteredAlgorithm("test", "1", AlgorithmStage.ACTIVE, Path("test-1"), "a" * 64, "b" * 64), "test"
        )
        self.execute("UPDATE study SET last_received_at = now() - interval '1 day'")
        assert settle_next_study(self.database, 1) is not None

    def _result(self, evidence: tuple[EvidenceObject, ...]) -> NewResult:
        (used,) = self.execute(
            "SELECT array_agg(sop_instance_uid) AS uids FROM instance WHERE study_id = (SELECT max(id) FROM study)"
        )
        return NewResult(generate_uid(), tuple(used["uids"]), "b" * 64, "CPU", (), "", evidence)

    def owe_notice(self, *evidence: EvidenceObject, destinations: tuple[str, ...] = ("pacs",)) -> None:
        """Let one study whose analysis failed owe the report on that to the destinations."""
        self._receive()
        self._settle()
        failed = self.queue.claim(JobKind.INFERENCE, "test")
        assert failed is not None
        self.queue.fail(failed, Reason("test", "It failed."))
        notice = self.queue.claim(JobKind.NOTICE, "test")
        assert notice is not None
        assert self.queue.complete_notice(notice, self._result(evidence), destinations) is not None

    def job(self, destination: str = "pacs") -> dict[str, Any]:
        """The row of the delivery to this destination."""
        (row,) = self.execute("SELECT * FROM job WHERE kind = 'delivery' AND destination = %s", destination)
        return row

    def deliveries(self) -> dict[str, tuple[str, int | None]]:
        """State and latest status of each instance, by SOP Instance UID."""
        rows = self.execute("SELECT * FROM delivery JOIN evidence ON evidence.id = delivery.evidence_id")
        return {row["sop_instance_uid"]: (row["state"], row["status"]) for row in rows}

    def make_due(self) -> None:
        """Let time pass for every waiting job; the guard on the job lifecycle knows no such event."""
        self.execute(
            "SET LOCAL session_replication_role = replica; UPDATE job SET due_at = now() WHERE state = 'scheduled'"
        )

    def execute(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """Run one statement in a transaction of its own and return its rows."""
        with (
            contextlib.closing(psycopg2.connect(self.database_url)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _now() -> datetime:
    return datetime.now(UTC)
