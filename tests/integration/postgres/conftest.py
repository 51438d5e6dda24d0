"""A hospital in rows: what a test needs to make studies arrive, become stable and be worked on."""

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.job import ClaimedJob, JobKind
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole, NewResult
from storage.domain.study import InstanceHeader, QuarantineReason
from storage.housekeeping.settle_studies import settle_studies
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.engine import Database, open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.overview import Overview
from storage.postgres.study_catalog import PostgresStudyCatalog
from storage.settings import JobSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass
class Hospital:
    """The adapters over one fresh database, and short ways to make things happen."""

    url: str
    database: Database
    objects: ObjectStore
    settings: JobSettings = field(default_factory=lambda: JobSettings(lease_seconds=30, max_attempts=3))

    def __post_init__(self) -> None:
        self.arrivals = PostgresArrivalLog(self.database)
        self.algorithms = PostgresAlgorithmCatalog(self.database)
        self.studies = PostgresStudyCatalog(self.database, self.objects)
        self.deliveries = PostgresDeliveryLog(self.database, self.objects)
        self.overview = Overview(self.database)
        self.queue = PostgresJobQueue(self.database, self.objects, self.settings)

    @staticmethod
    def association(**facts: Any) -> Association:
        """An association of CT1 that is still open."""
        return replace(Association(str(uuid.uuid4()), "CT1", "OVERREAD", "127.0.0.1", NOW), **facts)

    @staticmethod
    def arrival(study: str = "1.2.3", association: Association | None = None, **header: Any) -> Arrival:
        """One CT instance of a series of the study."""
        number = next(_numbers)
        described = InstanceHeader(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"{study}.1.{number}",
            study_instance_uid=study,
            series_instance_uid=f"{study}.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            patient_id="P1",
            modality="CT",
            series_number=1,
            instance_number=number,
        )
        return Arrival(
            header=replace(described, **header),
            sha256=f"{number:064x}",
            size=512,
            association=association or Hospital.association(),
            received_at=NOW,
        )

    @staticmethod
    def quarantined(study: str = "1.2.3", **facts: Any) -> QuarantinedObject:
        """One object that was set aside because other bytes were held under its UID."""
        thing = QuarantinedObject(
            quarantine_id=uuid.uuid4().hex,
            reason=QuarantineReason.CONFLICT,
            sop_instance_uid=f"{study}.9",
            study_instance_uid=study,
            sha256="e" * 64,
            size=10,
            association=Hospital.association(),
            received_at=NOW,
        )
        return replace(thing, **facts)

    def receive(self, *arrivals: Arrival) -> None:
        """Write rows for instances."""
        self.arrivals.record(arrivals, [], [])

    def install(self, name: str = "lungs", version: str = "1") -> RegisteredAlgorithm:
        """Make an algorithm active."""
        algorithm = self.registered(name, version, AlgorithmStage.ACTIVE)
        self.algorithms.add(algorithm, "tester")
        return algorithm

    @staticmethod
    def registered(name: str, version: str, stage: AlgorithmStage = AlgorithmStage.REGISTERED) -> RegisteredAlgorithm:
        """A version as it is added."""
        return RegisteredAlgorithm(name, version, stage, Path("algorithms") / name, "a" * 64, "b" * 64)

    def settle(self) -> int:
        """Make every study stable whatever its age."""
        return settle_studies(self.database, 0)

    def stable_study(self, study: str = "1.2.3", instances: int = 2) -> list[Arrival]:
        """A study that has arrived and is stable."""
        arrivals = [self.arrival(study) for _ in range(instances)]
        self.receive(*arrivals)
        self.settle()
        return arrivals

    def claimed(self, kind: JobKind = JobKind.INFERENCE, worker: str = "worker one") -> ClaimedJob:
        """The next job, which there must be."""
        job = self.queue.claim(kind, worker)
        assert job is not None
        return job

    @staticmethod
    def result(arrivals: list[Arrival], marker: str = "") -> NewResult:
        """A result with a report and a segmentation, in the order that is not that of delivery."""
        study = arrivals[0].header.study_instance_uid
        return NewResult(
            series_instance_uid=f"{study}.7",
            input_sop_instance_uids=tuple(arrival.header.sop_instance_uid for arrival in arrivals),
            artifact_sha256="b" * 64,
            execution_provider="CPUExecutionProvider",
            findings=(),
            report_text="No finding.",
            evidence=tuple(
                EvidenceObject(
                    role,
                    "1.2.840.10008.5.1.4.1.1.66.4",
                    f"{study}.7.{number}",
                    f"{study}.7",
                    "1.2",
                    (part10.encode(),),
                    form,
                )
                for number, (role, form, part10) in enumerate(
                    [
                        (EvidenceRole.REPORT, EvidenceForm.COMPREHENSIVE_3D, f"report{marker}"),
                        (EvidenceRole.SEGMENTATION, EvidenceForm.BINARY, f"segments{marker}"),
                    ],
                    1,
                )
            ),
        )

    def analysed(self, study: str = "1.2.3", destinations: tuple[str, ...] = ("pacs",)) -> NewResult:
        """A study that has arrived and has its result; its deliveries wait."""
        arrivals = self.stable_study(study)
        result = self.result(arrivals)
        self.queue.complete_analysed(self.claimed(), result, destinations)
        return result

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Whatever a statement returns, asked over a connection of its own that commits at once."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
                return cursor.fetchall() if cursor.description else []

    def named_rows(self, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
        """As ``rows``, for a query with named variables; each row by the names of its columns."""
        with contextlib.closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(query, variables)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def audited(self, action: str) -> int:
        """How many audit rows have this action."""
        return int(self.rows("SELECT count(*) FROM audit_event WHERE action = %s", action)[0][0])

    def expire_leases(self) -> None:
        """Let the lease of every job in progress run out."""
        self.rows("UPDATE job SET lease_expires_at = now() - interval '1 second' WHERE state = 'in_progress'")


@pytest.fixture
def open_hospital(database_url: str, service_url: str, tmp_path: Path) -> Iterator[Callable[..., Hospital]]:
    """Makes hospitals over the test's one database, each with its own connections and the rights of the service."""
    opened: list[Hospital] = []

    def open_one(**settings: Any) -> Hospital:
        database = open_database(service_url, "test")
        hospital = Hospital(
            database_url,
            database,
            ObjectStore(DataFolder(tmp_path)),
            JobSettings(**{"lease_seconds": 30, "max_attempts": 3, **settings}),
        )
        opened.append(hospital)
        return hospital

    yield open_one
    for hospital in opened:
        hospital.queue.close()
        hospital.database.close()


@pytest.fixture
def hospital(open_hospital: Callable[..., Hospital]) -> Hospital:
    """One hospital with three attempts and leases of thirty seconds."""
    return open_hospital()
