"""The worker on a real queue: each end of a job, and what it survives."""

import errno
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import worker as worker_module
from inference.conclusion import GiveUp, NotAnalysed, TryLater
from inference.errors import DeviceFull
from inference.retries import WAITS, Again
from storage.domain.explanation import sentences
from storage.domain.job import ClaimedJob, Reason
from storage.domain.job_statistics import Stage
from storage.postgres.overview import Overview
from storage.settings import JobSettings
from tests.integration.inference.conftest import Site
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm

VALUES = np.zeros((6, 5, 4))
VALUES[2:4, 1:3, 1:3] = 1000


def _nothing(_: ClaimedJob) -> NotAnalysed:
    return NotAnalysed(Reason("test", "For the test."), ())


def test_a_study_becomes_a_result_with_evidence(site: Site) -> None:
    """Eight bright voxels of 3 mm3 become 0.024 ml, a segmentation and a report that cite exactly the six images."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    headers = with_pixels(slice_headers(), VALUES)
    site.receive(list(reversed(headers)))

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    ((text, provider),) = site.rows("SELECT report_text, execution_provider FROM result")
    assert "0.024 ml" in text
    assert provider == "CPUExecutionProvider"
    digests = site.rows("SELECT role, sha256 FROM evidence ORDER BY id")
    assert [role for role, _ in digests] == ["segmentation", "secondary-capture", "secondary-capture", "report"]
    segmentation = pydicom.dcmread(site.objects.evidence(digests[0][1]))
    assert segmentation.PatientID == "P1"
    cited = {
        item.ReferencedSOPInstanceUID for item in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert cited == {header.SOPInstanceUID for header in headers}
    assert site.rows("SELECT count(*) FROM job WHERE kind = 'delivery'") == [(1,)]
    ((pictures,),) = site.rows("SELECT pictures FROM result")
    assert [one["title"] for one in pictures] == ["Axial", "Coronal", "Sagittal"]
    assert all(site.objects.evidence(one["sha256"]).read_bytes().startswith(b"\x89PNG") for one in pictures)


def test_of_several_series_it_is_told_why_this_one(site: Site) -> None:
    """A series that would do as well, and one that is refused, are told beside the result, each with its reason."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    taken = with_pixels(slice_headers(), VALUES)
    shorter = with_pixels(slice_headers(count=5), VALUES[:5])
    other = slice_headers(edit=lambda _, ds: setattr(ds, "Modality", "CT"))
    site.receive([*shorter, *taken, *other])

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    told = list(sentences(Overview(site.database).explain(taken[0].StudyInstanceUID)))
    series = taken[0].SeriesInstanceUID
    assert (
        f"Series {shorter[0].SeriesInstanceUID} (ranked-lower): It could be analysed too, but series {series} has more "
        "images (6 instead of 5)."
    ) in told
    assert any(line.startswith(f"Series {other[0].SeriesInstanceUID} (modality-not-accepted): ") for line in told)
    assert not any(line.startswith(f"Series {series}") for line in told)


def test_a_second_attempt_makes_the_same_bytes(site: Site) -> None:
    """Evidence is a function of study, algorithm and first claim, so a retry cannot contradict what was sent."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(with_pixels(slice_headers(), VALUES))
    job = ClaimedJob(1, "inference", "1.2.3.4", 1, "t", 1, 3, datetime.now(UTC), "tiny", "1.0")  # type: ignore[arg-type]

    first, second = site.analyse(job), site.analyse(job)

    assert [one.part10 for one in first.evidence] == [one.part10 for one in second.evidence]


def test_a_study_of_another_modality_is_not_analysed(site: Site) -> None:
    """The job completes with the refusal as its reason."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers(edit=lambda _, ds: setattr(ds, "Modality", "CT")))

    with site.worker():
        assert site.job_when_settled() == ("completed", "not-analysed", "modality-not-accepted")


def test_unusable_images_fail_the_job_at_once(site: Site) -> None:
    """A gap does not close by trying again."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    headers = slice_headers(count=9)
    del headers[4]
    site.receive(headers)

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "gap")

    assert site.rows("SELECT attempt FROM job WHERE kind = 'inference'") == [(1,)]


def test_an_output_of_nan_is_never_a_negative(site: Site) -> None:
    """A network that yields NaN gives a failed job, no result and no evidence."""
    site.install(write_tiny_algorithm(site.folder / "tiny", bright_network(1.0, "Log")))
    site.receive(with_pixels(slice_headers(), VALUES))

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "invalid-output")

    assert site.rows("SELECT count(*) FROM result_origin") == [(0,)]


def test_jobs_wait_while_the_model_file_is_damaged(site: Site) -> None:
    """A file that is not the registered one is an administrator's fault to mend, not the study's."""
    folder = write_tiny_algorithm(site.folder / "tiny")
    site.install(folder)
    site.receive(with_pixels(slice_headers(), VALUES))
    (folder / "model.onnx").write_bytes(b"damaged")

    with site.worker():
        assert site.job_when_settled() == ("scheduled", None, "artifact-unavailable")


def test_an_unexpected_error_is_told_by_its_class_only(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The message of an unforeseen exception may repeat patient data; neither row nor log carries it."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())

    def broken(_: ClaimedJob) -> NotAnalysed:
        raise KeyError("Doe^Jane")

    with site.worker(broken):
        assert site.job_when_settled() == ("scheduled", None, "internal-error")

    ((sentence,),) = site.rows("SELECT reason_sentence FROM job")
    assert "KeyError" in sentence
    assert "Doe" not in sentence + caplog.text


def test_the_lease_is_renewed_while_the_analysis_lasts(site: Site) -> None:
    """A job that takes longer than its lease is not taken away from a worker that lives."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())

    def slow(_: ClaimedJob) -> NotAnalysed:
        expiry = "SELECT lease_expires_at FROM job"
        first = site.rows(expiry)
        site.wait_for(lambda: site.rows(expiry) > first)
        return _nothing(_)

    with site.worker(slow):
        assert site.job_when_settled() == ("completed", "not-analysed", "test")


def test_a_worker_that_lost_its_lease_changes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What it found is dropped with one log line, and the other worker's claim stands."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())

    def robbed(_: ClaimedJob) -> NotAnalysed:
        site.execute("UPDATE job SET lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 hour'")
        return _nothing(_)

    with site.worker(robbed):
        site.wait_for(lambda: "the lease has passed on" in caplog.text)

    assert site.job()[:2] == ("in_progress", None)


def test_a_stopping_worker_finishes_its_job(site: Site) -> None:
    """Stop means: no new claim, but the study in hand is brought to its end."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())
    started, go_on = threading.Event(), threading.Event()

    def paused(_: ClaimedJob) -> NotAnalysed:
        started.set()
        assert go_on.wait(60)
        return _nothing(_)

    with site.worker(paused) as stop:
        assert started.wait(60)
        stop.set()
        go_on.set()

    assert site.job() == ("completed", "not-analysed", "test")


def test_a_stopping_worker_gives_back_what_takes_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its grace the job is free for another worker at once."""
    monkeypatch.setattr(worker_module, "_GRACE_S", 0.0)
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())
    started, end = threading.Event(), threading.Event()

    def endless(_: ClaimedJob) -> NotAnalysed:
        started.set()
        end.wait()
        return _nothing(_)

    with site.worker(endless) as stop:
        assert started.wait(60)
        stop.set()

    end.set()
    assert site.job() == ("scheduled", None, "worker-stopped")


def test_an_outage_of_the_database_costs_two_log_lines(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The worker holds its outcome until the database is back, then settles the job; it says so once each way."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(slice_headers())
    started, go_on = threading.Event(), threading.Event()

    def paused(_: ClaimedJob) -> NotAnalysed:
        started.set()
        assert go_on.wait(60)
        return _nothing(_)

    with site.worker(paused):
        assert started.wait(60)
        with site.database_away():
            go_on.set()
            site.wait_for(lambda: "does not answer" in caplog.text)
        site.wait_for(lambda: "answers again" in caplog.text)
        assert site.job_when_settled() == ("completed", "not-analysed", "test")

    assert caplog.text.count("does not answer") == caplog.text.count("answers again") == 1


def test_no_patient_data_reaches_the_log(site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A whole analysis names UIDs, codes and counts only."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(with_pixels(slice_headers(), VALUES))

    with site.worker():
        site.job_when_settled()

    assert "job 1: analysed" in caplog.text
    for secret in ("Doe", "Jane", "P1", "050Y"):
        assert secret not in caplog.text


def test_a_full_disk_loses_no_result(site: Site) -> None:
    """A result that cannot be written waits for the disk, at first for half a minute, and is then written."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(with_pixels(slice_headers(), VALUES))
    evidence = site.folder / "data" / "evidence"
    evidence.rmdir()
    evidence.symlink_to("/proc/self")  # no folder can be made in there, whoever asks

    with site.worker():
        assert site.job_when_settled() == ("scheduled", None, "storage-unavailable")
        ((sentence, wait),) = site.rows("SELECT reason_sentence, extract(epoch FROM due_at - now()) FROM job")
        assert "free space under data_dir" in sentence
        assert wait <= 30
        evidence.unlink()
        evidence.mkdir()
        site.execute("SET session_replication_role = replica; UPDATE job SET due_at = now()")  # time flies
        site.wait_for(lambda: site.job()[:2] == ("completed", "analysed"))


def test_the_waits_for_a_repair_outlast_an_hour() -> None:
    """However the waits are drawn, the default five attempts span more than an hour, and begin soon."""
    waits = WAITS[Again.AFTER_REPAIR]

    assert waits[0] <= timedelta(seconds=30)
    assert len(waits) == JobSettings().max_attempts - 1
    assert sum(waits, timedelta()) / 2 >= timedelta(hours=1)
    assert list(waits) == sorted(waits)


@pytest.mark.parametrize("attempt", range(1, 12))
def test_a_disk_that_fails_while_reading_is_tried_again(attempt: int) -> None:
    """An error of the operating system is told by its kind, without the path, at every attempt."""
    job = ClaimedJob(1, "inference", "1.2.3.4", 1, "t", attempt, 99, datetime.now(UTC))  # type: ignore[arg-type]

    conclusion = worker_module._storage_unavailable(job, OSError(errno.EIO, "Doe^Jane", "/secret/path"))

    assert conclusion.reason.code == "storage-unavailable"
    assert os.strerror(errno.EIO) in conclusion.reason.sentence
    assert "secret" not in conclusion.reason.sentence
    assert "Doe" not in conclusion.reason.sentence


@pytest.mark.parametrize(("attempt", "longest"), [(1, 30), (2, 300), (4, 5400)])
def test_a_job_waits_longer_and_longer_for_a_full_device(attempt: int, longest: int) -> None:
    """Nothing counts as a death of a child, and where the setting forbids to wait the job ends at once."""
    job = ClaimedJob(1, "inference", "1.2.3.4", 1, "t", attempt, 99, datetime.now(UTC))  # type: ignore[arg-type]
    full = DeviceFull()

    waiting = worker_module._device_full(job, full)
    full.may_wait = False
    ended = worker_module._device_full(job, full)

    assert isinstance(waiting, TryLater)
    assert timedelta(seconds=longest / 2) <= waiting.delay <= timedelta(seconds=longest)
    assert not waiting.child_died
    assert isinstance(ended, GiveUp)
    assert waiting.reason == ended.reason == Reason("device-full", str(full))


_WARNING_WORKER = """
import numpy, pydicom, warnings
from inference.model_child.child import keep_received_values_out_of_logs
keep_received_values_out_of_logs()
warnings.warn("Doe^Jane\\nsecond line")
numpy.float32(3e38) * numpy.float32(10)
pydicom.valuerep.validate_value("CS", "<b>Doe^Jane</b>", pydicom.config.WARN)
"""


def test_no_warning_reaches_standard_error() -> None:
    """Warnings of any library repeat received values over several lines, so the worker's log has none of them."""
    done = subprocess.run([sys.executable, "-c", _WARNING_WORKER], capture_output=True, text=True, check=True)

    assert done.stderr == ""


def test_statistics_are_kept_with_the_result(site: Site) -> None:
    """What the network was given, what it gave and how long it took stand beside the result."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    site.receive(with_pixels(slice_headers(), VALUES))

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    ((scanner, protocol, acquisition, values, scores, stages),) = site.rows(
        "SELECT scanner, protocol, acquisition, values, scores, stages FROM result_statistics JOIN result ON"
        " result.id = result_id JOIN algorithm ON algorithm.id = algorithm_id WHERE algorithm.name = 'tiny'"
    )
    assert (scanner, protocol) == ("unknown", "MR HEAD 2 mm")
    assert (acquisition["images"], acquisition["rows"], acquisition["columns"]) == (6, 5, 4)
    assert {place: (one["count"], one["minimum"], one["maximum"]) for place, one in values.items()} == {
        "received": (120, 0, 1000),
        "prepared": (120, 0, 1000),
    }
    assert scores["Volume of Brain (cm3)"] == pytest.approx(0.024)
    assert scores["Mean MR signal intensity of Brain ({unitless})"] == 1000
    assert set(stages) == {str(stage) for stage in Stage}
    assert all(seconds >= 0 for seconds in stages.values())
