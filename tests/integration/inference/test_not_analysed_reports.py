"""A study that comes to no result is told about: from its images to a text report in a real PACS, exactly once."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, generate_uid

from inference.evidence.not_analysed_reasons import REASONS
from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.explanation import sentences
from storage.domain.job import JobKind, Reason
from storage.housekeeping.rescue_leases import rescue_leases
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.overview import Overview
from tests.integration.inference.conftest import Site
from tests.peers.orthanc import Orthanc
from tests.peers.synthetic_series import STUDY_UID, slice_headers, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm

VALUES = np.zeros((6, 5, 4))
VALUES[2:4, 1:3, 1:3] = 1000
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"


def _images() -> list[Dataset]:
    return with_pixels(slice_headers(), VALUES)


def _unsupported() -> list[Dataset]:
    images = _images()
    for image in images:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = HTJ2KLossless
        image.PixelData = encapsulate([b"no codestream"])
        image["PixelData"].is_undefined_length = True
    return images


def _gapped() -> list[Dataset]:
    images = slice_headers(count=9)
    del images[4]
    return images


@dataclass(frozen=True)
class _Case:
    """Why a study is not analysed: what the algorithm asks for, what is sent, and what is then said."""

    reason: str
    state: str = "completed"
    manifest: dict[str, Any] = field(default_factory=dict)
    images: Callable[[], list[Dataset]] = _images


CASES = {
    "wrong body part": _Case("body-part-not-accepted", manifest={"input": {"body_parts": ["CHEST"]}}),
    "too few slices": _Case("too-few-slices", manifest={"input": {"min_slices": 20}}),
    "outside the age range": _Case("patient-age-not-accepted", manifest={"input": {"max_age_years": 10}}),
    "unsupported pixel data": _Case("undecodable-pixel-data", "failed", images=_unsupported),
    "image quality": _Case(
        "empty-image", "failed", {"preprocessing": {"intensity": {"method": "minmax"}}}, images=slice_headers
    ),
    "missing slices": _Case("gap", "failed", images=_gapped),
}


def _deliver(site: Site, orthanc: Orthanc) -> int:
    """Deliver what is owed to ``pacs`` and say how many deliveries that were."""
    pacs = DestinationSettings(name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port)
    log = PostgresDeliveryLog(site.database, site.objects)
    worker = DeliveryWorker(site.queue, log, {"pacs": pacs}, StoreScu("OVERREAD"), site.jobs, "delivery test")
    return sum(1 for _ in iter(worker.deliver_one, False))


def _tell(site: Site) -> None:
    """Let a worker run until it has told of everything there is."""
    with site.worker():
        site.wait_for(
            lambda: (
                not site.rows(
                    "SELECT FROM job WHERE kind <> 'delivery' AND state IN ('scheduled', 'in_progress') LIMIT 1"
                )
            )
        )


def _held(orthanc: Orthanc) -> list[Dataset]:
    return [dcmread(BytesIO(part10)) for _, part10 in orthanc.instances_of(STUDY_UID)]


def _coded(report: Dataset) -> set[tuple[str, str]]:
    def items(dataset: Dataset) -> list[Dataset]:
        return [each for item in dataset.get("ContentSequence", ()) for each in (item, *items(item))]

    return {
        (item.ConceptCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodingSchemeDesignator)
        for item in items(report)
        if item.ValueType == "CODE"
    }


def _story(site: Site) -> str:
    return "\n".join(sentences(Overview(site.database).explain(STUDY_UID)))


@pytest.mark.parametrize("name", CASES)
def test_each_reason_reaches_the_pacs_exactly_once(site: Site, orthanc: Orthanc, name: str) -> None:
    """One text report, filed under patient and study, codes the reason; done again, nothing is sent a second time."""
    case = CASES[name]
    site.install(write_tiny_algorithm(site.folder / "tiny", **case.manifest))
    images = case.images()
    site.receive(images)

    _tell(site)
    assert _deliver(site, orthanc) == 1

    assert site.job()[0::2] == (case.state, case.reason)
    (report,) = _held(orthanc)
    assert (report.SOPClassUID, report.PatientID, str(report.PatientName)) == (BASIC_TEXT, "P1", "Doe^Jane")
    assert report.SeriesDescription.startswith("Not analysed: tiny")
    concept = REASONS[case.reason].concept
    assert (concept.value, concept.scheme_designator) in _coded(report)
    (of_study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = of_study.ReferencedSeriesSequence
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence} == {
        image.SOPInstanceUID for image in images
    }
    story = _story(site)
    assert 'The "Not analysed" report of tiny 1.0 was made for the destinations.' in story
    assert f"The not-analysed report (basic-text) {report.SOPInstanceUID} of tiny 1.0 was acknowledged by pacs" in story
    assert f"Series {images[0].SeriesInstanceUID} ({case.reason}): " in story

    site.queue.resubmit(1, "alice")
    _tell(site)
    assert _deliver(site, orthanc) == 0
    assert len(_held(orthanc)) == 1
    assert "already-told" in _story(site)


_CLAIM_AND_DIE = """
import os, signal, sys
from pathlib import Path
from storage.domain.job import JobKind
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.settings import JobSettings

store = ObjectStore(DataFolder(Path(sys.argv[2])))
queue = PostgresJobQueue(open_database(sys.argv[1], "doomed"), store, JobSettings())
assert queue.claim(JobKind.INFERENCE, "doomed") is not None
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_job_that_kills_each_of_its_workers_is_told(site: Site, orthanc: Orthanc) -> None:
    """Nobody concluded it: the housekeeper gives it up, and a worker that never had it tells the PACS."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(_images())
    for _ in range(site.jobs.max_attempts):
        site.execute("SET session_replication_role = replica; UPDATE job SET due_at = now()")  # time flies
        doomed = [sys.executable, "-c", _CLAIM_AND_DIE, site.url, str(site.folder / "data")]
        assert subprocess.run(doomed, check=False).returncode == -9
        site.execute("UPDATE job SET lease_expires_at = now() - interval '1 second' WHERE state = 'in_progress'")
        assert rescue_leases(site.database, site.jobs) == 1

    _tell(site)
    assert _deliver(site, orthanc) == 1

    assert site.job() == ("failed", None, "attempts-spent")
    (report,) = _held(orthanc)
    assert ("111221", "DCM") in _coded(report)


def test_a_study_of_another_modality_stays_silent(site: Site, orthanc: Orthanc) -> None:
    """Nobody waits for a brain MR algorithm to speak of a CT; `overread explain` still says why."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers(edit=lambda _, ds: setattr(ds, "Modality", "CT")))

    _tell(site)

    assert _deliver(site, orthanc) == 0
    assert not orthanc.holds_study(STUDY_UID)
    assert "did not analyse it (modality-not-accepted)" in _story(site)


def test_only_the_series_of_the_algorithms_kind_are_spoken_of(site: Site) -> None:
    """A localizer of another modality beside the refused series is listed with its reason, but is no evidence."""
    site.install(write_tiny_algorithm(site.folder / "tiny", input={"min_slices": 20}))
    other = slice_headers(count=1, edit=lambda _, ds: setattr(ds, "Modality", "CT"))
    images = _images()
    site.receive([*images, *other])

    _tell(site)

    ((sha256, inputs, text),) = site.rows(
        "SELECT sha256, (SELECT count(*) FROM result_input), report_text FROM evidence, result"
    )
    report = dcmread(site.objects.evidence(sha256))
    assert inputs == len(images)
    assert len(report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence) == 1
    assert "The series is CT; tiny 1.0 takes MR." in " ".join(text.split())


@pytest.mark.parametrize("lost", ["the images", "the algorithm"])
def test_what_was_lost_does_not_silence_the_report(site: Site, orthanc: Orthanc, lost: str) -> None:
    """Without a readable file the database's row files the report; without the folder the registration names it."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(_images())
    job = site.queue.claim(JobKind.INFERENCE, "test")
    assert job is not None
    if lost == "the images":
        for file in (site.folder / "data" / "objects").rglob("*.dcm"):
            file.unlink()
    else:
        shutil.rmtree(site.folder / "tiny")

    site.queue.fail(job, Reason("attempts-spent", "The analysis was started 3 times."))
    _tell(site)
    assert _deliver(site, orthanc) == 1

    (report,) = _held(orthanc)
    assert report.PatientID == "P1"
    assert str(report.PatientName) == ("" if lost == "the images" else "Doe^Jane")
    assert report.SeriesDescription == "Not analysed: tiny (RESEARCH, not verified)"


@pytest.mark.parametrize("min_slices", [2, 20], ids=["the analysis found it", "the analysis never looked"])
def test_nothing_is_told_of_images_of_two_patients(site: Site, min_slices: int) -> None:
    """One Patient ID with two names and birth dates: no report is filed for either, and the notice says why."""
    site.install(write_tiny_algorithm(site.folder / "tiny", input={"min_slices": min_slices}))
    images = _images()
    for image in images[3:]:
        image.PatientName, image.PatientBirthDate = "Roe^Max", "19900505"
    site.receive(images)

    _tell(site)

    assert site.rows("SELECT (SELECT count(*) FROM evidence), (SELECT count(*) FROM result)") == [(0, 0)]
    ((state, code, sentence),) = site.rows("SELECT state, reason_code, reason_sentence FROM job WHERE kind = 'notice'")
    assert (state, code) == ("failed", "patient-mix")
    assert "Roe" not in sentence


def test_one_name_in_two_spellings_is_one_patient(site: Site) -> None:
    """Case and empty components of a name, and what an image leaves out, do not silence the report."""
    site.install(write_tiny_algorithm(site.folder / "tiny", input={"min_slices": 20}))
    images = _images()
    images[1].PatientName, images[2].PatientBirthDate = "DOE^JANE^^^", ""
    site.receive(images)

    _tell(site)

    assert site.rows("SELECT count(*) FROM evidence") == [(1,)]


def test_another_attempt_at_a_notice_makes_the_same_bytes(site: Site) -> None:
    """The report is a function of the ended inference, its images and the algorithm."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(_gapped())
    with site.worker():
        assert site.job_when_settled() == ("failed", None, "gap")
    _tell(site)
    ((frozen,),) = site.rows("SELECT sha256 FROM evidence")
    site.execute(
        "SET session_replication_role = replica; UPDATE job SET state = 'scheduled', finished_at = NULL "
        "WHERE kind = 'notice'"
    )
    job = site.queue.claim(JobKind.NOTICE, "test")
    assert job is not None

    (again,) = site.tell(job).evidence

    assert site.objects.evidence(frozen).read_bytes() == again.part10


def test_our_report_coming_back_triggers_nothing(site: Site, orthanc: Orthanc) -> None:
    """What the PACS sends back, under our UIDs or as another service's report, makes no revision and no job."""
    site.install(write_tiny_algorithm(site.folder / "tiny", input={"min_slices": 20}))
    site.receive(_images())
    _tell(site)
    _deliver(site, orthanc)
    (report,) = _held(orthanc)
    foreign = dcmread(BytesIO(orthanc.instances_of(STUDY_UID)[0][1]))
    foreign.SOPInstanceUID = foreign.file_meta.MediaStorageSOPInstanceUID = generate_uid()

    site.receive([report, foreign])

    assert site.rows(
        "SELECT excluded_rule, count(*) FROM instance WHERE excluded_rule <> '' GROUP BY 1 ORDER BY 1"
    ) == [
        ("derived-object", 1),
        ("own-result", 1),
    ]
    assert settle_studies(site.database, 0) == 0
    assert site.rows("SELECT count(*) FROM job WHERE kind = 'inference'") == [(1,)]
