"""Results that are owed to destinations: small, but with everything that a delivery needs."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage

from overread.torture.instances import new_uid
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.arrival import Arrival
from storage.domain.association import Association
from storage.domain.job import JobKind
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole, NewResult
from storage.domain.study import InstanceHeader
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import Database
from storage.postgres.job_queue import PostgresJobQueue

FORMS = {
    EvidenceRole.SEGMENTATION: (SegmentationStorage, EvidenceForm.BINARY),
    EvidenceRole.REPORT: (Comprehensive3DSRStorage, EvidenceForm.COMPREHENSIVE_3D),
}


class OwedResults:
    """Analysed studies, each with a segmentation and a report."""

    def __init__(self, database: Database, queue: PostgresJobQueue, source: random.Random) -> None:
        self._database, self._queue, self._source = database, queue, source
        algorithm = RegisteredAlgorithm("torture", "1", AlgorithmStage.ACTIVE, Path("torture"), "a" * 64, "b" * 64)
        PostgresAlgorithmCatalog(database).add(algorithm, "overread torture")

    def owe(self, destinations: Sequence[str]) -> tuple[EvidenceObject, ...]:
        """One more analysed study, whose result is owed to these; its objects in the order of delivery."""
        study, now = new_uid(self._source), datetime.now(UTC)
        header = InstanceHeader(CTImageStorage, f"{study}.1.1", study, f"{study}.1", ExplicitVRLittleEndian)
        association = Association("00000000-0000-4000-8000-000000000000", "CT1", "OVERREAD", "127.0.0.1", now)
        PostgresArrivalLog(self._database).record([Arrival(header, "c" * 64, 1, association, now)], [], [])
        settle_studies(self._database, 0)
        job = self._queue.claim(JobKind.INFERENCE, "overread torture")
        assert job is not None  # noqa: S101 - the study has just become stable
        evidence = tuple(self._evidence(study, role) for role in FORMS)
        made = NewResult(f"{study}.1", (header.sop_instance_uid,), "b" * 64, "CPU", (), "", evidence)
        self._queue.complete_analysed(job, made, list(destinations))
        return evidence

    def _evidence(self, study: str, role: EvidenceRole) -> EvidenceObject:
        sop_class, form = FORMS[role]
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, new_uid(self._source)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, new_uid(self._source)
        ds.PatientID, ds.Modality = "TORTURE", "SEG" if role is EvidenceRole.SEGMENTATION else "SR"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        whole = BytesIO()
        dcmwrite(whole, ds, enforce_file_format=True)
        uids = ds.SOPInstanceUID, ds.SeriesInstanceUID, ExplicitVRLittleEndian
        return EvidenceObject(role, sop_class, *uids, (whole.getvalue(),), form)


def data_set_digest(evidence: EvidenceObject) -> str:
    """SHA-256 of the data set, which follows the file meta information and the length of that."""
    part10 = evidence.part10
    return hashlib.sha256(part10[144 + int.from_bytes(part10[140:144], "little") :]).hexdigest()
