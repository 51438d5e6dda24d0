"""SIGKILL of the roles at bad moments: nothing acknowledged is lost, each result is delivered once."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pydicom
from pynetdicom import AE, build_context

from listener.scu.checkpoint import hold_answers
from tests.end_to_end.conftest import Product, Series, destination, write_series
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.spool_content import waiting

_ROUNDS = 10
_OBJECTS = 4  # of a result: segmentation, picture, summary, report


def test_ten_kills_of_the_worker_mid_job_lose_nothing(
    product: Product, bright_voxels: Path, recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """Each time the worker dies with a job in hand, another one ends it; each result is at the PACS in one content."""
    product.settings |= destination(recording_pacs.port) | {"OVERREAD_JOBS_MAX_ATTEMPTS": "20"}
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    studies = [write_series(tmp_path / str(number)) for number in range(_ROUNDS)]
    for series in studies:
        assert _Sender(product).send(series) == {}

    hit: set[tuple[int, int]] = set()
    moments = random.Random(1)
    while len(hit) < _ROUNDS:
        held = _held_jobs(product)
        if held - hit:
            time.sleep(moments.random() * 0.7)  # anywhere between claim and completion
            if product.kill("work"):
                hit |= _held_jobs(product)  # those it took along: the next worker needs longer to start

    for series in studies:
        product.wait_for_study(series.study_instance_uid, "done")
    jobs = [job for job in product.status()["jobs"] if job["kind"] == "inference"]
    assert [job["state"] for job in jobs] == ["completed"] * _ROUNDS
    assert sum(job["attempt"] for job in jobs) == _ROUNDS + len(hit)
    assert _contents_per_uid(recording_pacs) == [1] * (_OBJECTS * _ROUNDS)
    assert len(recording_pacs.received) == _OBJECTS * _ROUNDS
    assert product.silent_instances() == []
    assert product.command("audit", "verify").returncode == 0


def _held_jobs(product: Product) -> set[tuple[int, int]]:
    """(id, attempt) of the inference jobs that a worker holds."""
    return {
        (job["id"], job["attempt"])
        for job in product.status()["jobs"]
        if job["kind"] == "inference" and job["state"] == "in_progress"
    }


def test_a_worker_that_stops_for_ever_loses_its_job(
    product: Product, bright_voxels: Path, recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """A worker that vanishes in the middle of a job holds it until its lease ends; another one then brings the result.

    When the first one comes back it changes nothing, and each object is at the PACS in one content.
    """
    product.settings |= destination(recording_pacs.port)
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    product.wait_until(lambda: "studies at a time: " in product.log(), "the worker and its child are ready")
    worker, (child,) = product.role("work"), _model_children(product)
    assert worker is not None
    os.kill(child, signal.SIGSTOP)
    series = write_series(tmp_path / "series")
    assert _Sender(product).send(series) == {}
    product.wait_until(lambda: _model_children(product) not in ([child], []), "a fresh child is started for the job")
    (child,) = _model_children(product)
    os.kill(child, signal.SIGSTOP)  # so that the job does not end before the worker is stopped
    product.wait_until(lambda: bool(_held_jobs(product)), "the worker holds the job")
    os.kill(worker, signal.SIGSTOP)

    with subprocess.Popen([sys.executable, "-m", "overread", "work"], env=product.environment()) as second:
        product.wait_for_study(series.study_instance_uid, "done")
        for process in (child, worker):
            os.kill(process, signal.SIGCONT)
        product.wait_until(lambda: "lease has passed on" in product.log(), "the first worker drops what it did")
        second.terminate()

    (job,) = [job for job in product.status()["jobs"] if job["kind"] == "inference"]
    assert (job["state"], job["attempt"]) == ("completed", 2)
    assert (job["reason_code"], job["stuck"]) == ("lease-expired", False), "what an alarm is raised by"
    assert _contents_per_uid(recording_pacs) == [1] * _OBJECTS
    assert product.silent_instances() == []


def test_ten_kills_of_the_listener_mid_association_lose_nothing(
    product: Product, bright_voxels: Path, recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """What was answered 0x0000 is stored with the bytes that were sent; what was not is sent again; one result each."""
    product.settings |= destination(recording_pacs.port) | {"OVERREAD_STUDY_QUIET_SECONDS": "6"}
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    series = write_series(tmp_path / "series", slices=200)
    ledger = _Sender(product)
    killed = threading.Thread(target=_kill_while_sending, args=(product, ledger))
    killed.start()

    owed = ledger.send(series)
    while owed:
        product.wait_until(product._answers, "the listener is back")
        owed = ledger.send(series, only=owed)
    killed.join()

    assert ledger.kills == _ROUNDS
    product.wait_for_study(series.study_instance_uid, "done")
    explained = product.study(series.study_instance_uid)
    assert explained is not None
    assert explained["instances"] == 200
    assert _stored_digests(product) == ledger.acknowledged
    assert set(_contents_per_uid(recording_pacs)) == {1}
    assert product.silent_instances() == []


def test_a_killed_database_comes_back_by_itself(
    product: Product, bright_voxels: Path, recording_pacs: RecordingPacs, tmp_path: Path
) -> None:
    """SIGKILL of PostgreSQL, and of the listener while it is away, stops neither reception nor the work."""
    product.settings |= destination(recording_pacs.port)
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    postmaster = int((product.data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])

    listener = product.role("listen")
    os.kill(postmaster, signal.SIGKILL)
    assert product.kill("listen")
    product.wait_until(lambda: product.role("listen") not in (None, listener), "the listener was started again")
    product.wait_until(product._answers, "the listener is back")
    series = write_series(tmp_path / "series")
    assert _Sender(product).send(series) == {}

    product.wait_for_study(series.study_instance_uid, "done")
    assert product.silent_instances() == []


def test_the_listener_starts_and_acknowledges_without_its_database(product: Product, tmp_path: Path) -> None:
    """A configured server that is away at the start keeps nobody from sending; what is acknowledged is in the spool."""
    product.settings["OVERREAD_DATABASE_URL"] = "postgresql://overread@127.0.0.1:1/overread"
    series = write_series(tmp_path / "series")

    with product.running("listen"):
        assert _Sender(product).send(series) == {}

    assert len(waiting(product.data_dir)) == len(series.paths)


def _model_children(product: Product) -> list[int]:
    """The processes that run models for the worker as it is now."""
    found = []
    for listing in Path(f"/proc/{product.role('work')}/task").glob("*/children"):
        for process in listing.read_text().split():
            with contextlib.suppress(FileNotFoundError):
                if b"inference.model_child.child" in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(int(process))
    return found


class _Sender:
    """A modality that keeps a ledger: what was acknowledged, with the digest of the bytes that were sent."""

    def __init__(self, product: Product) -> None:
        self._port = product.port
        self.acknowledged: dict[str, str] = {}
        self.kills = 0

    def send(self, series: Series, only: dict[str, Path] | None = None) -> dict[str, Path]:
        """Send what is owed over one association; return what was not acknowledged."""
        owed = only if only is not None else {pydicom.dcmread(path).SOPInstanceUID: path for path in series.paths}
        first = pydicom.dcmread(series.paths[0])
        contexts = [build_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)]
        entity = AE("MR1")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 5
        association = entity.associate("127.0.0.1", self._port, contexts=contexts, ae_title="OVERREAD")
        if association.is_established:
            hold_answers(association)  # else pynetdicom's other thread now and then takes an answer for a request
        for uid, path in list(owed.items()):
            if not association.is_established:
                break
            try:
                status = association.send_c_store(pydicom.dcmread(path))
            except (RuntimeError, ValueError):
                break
            if "Status" in status and status.Status == 0x0000:
                self.acknowledged[uid] = _digest(path)
                del owed[uid]
        if association.is_established:
            association.release()
        return owed


def _kill_while_sending(product: Product, ledger: _Sender) -> None:
    """Kill the listener ten times, each time after some more instances were acknowledged."""
    moments = random.Random(2)
    for number in range(_ROUNDS):
        goal = 5 + number * 18 + moments.randrange(10)
        product.wait_until(lambda goal=goal: len(ledger.acknowledged) >= goal, "more instances are acknowledged")
        product.wait_until(lambda: product.kill("listen"), "the listener was killed")
        ledger.kills += 1


def _digest(path: Path) -> str:
    """SHA-256 of the data set as pynetdicom sends it: the file without preamble and file meta information."""
    content = path.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(path)
    start = 128 + 4 + 12 + meta.FileMetaInformationGroupLength
    return hashlib.sha256(content[start:]).hexdigest()


def _stored_digests(product: Product) -> dict[str, str]:
    """Digest of every stored instance, recomputed from the bytes on disk."""
    stored = {}
    for path in (product.data_dir / "objects").rglob("*.dcm"):
        stored[str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = _digest(path)
    return stored


def _contents_per_uid(pacs: RecordingPacs) -> list[int]:
    return [len(contents) for contents in pacs.contents.values()]
