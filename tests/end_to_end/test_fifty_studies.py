"""Fifty studies from three senders at once: one urgent, one poisonous, one with a late image, one in two halves."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import Comprehensive3DSRStorage, MRImageStorage, SegmentationStorage

from storage.errors import UnknownRecord
from tests.end_to_end.conftest import Product, destination
from tests.peers import hostile_networks
from tests.peers.free_ports import free_port
from tests.peers.raw_sender import EXPLICIT, associated, send
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm

STUDIES = 50
SENDERS = ("CT1", "MR1", "MR2")
URGENT, POISON, LATE, HALVES = 49, 7, 20, 33  # their numbers; the urgent one is the last that comes
_ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
_PASSWORD = "correct horse battery staple"


def _uid(number: int) -> str:
    return f"1.2.3.{number + 1}"


def _study(number: int) -> list[Dataset]:
    """Six slices with as many bright voxels as the number says and one more, so that no two results are alike."""

    def name(place: int, header: Dataset) -> None:
        header.StudyInstanceUID, header.SeriesInstanceUID = _uid(number), f"{_uid(number)}.1"
        header.SOPInstanceUID = f"{_uid(number)}.1.{place + 1}"
        header.FrameOfReferenceUID = f"{_uid(number)}.2"
        header.PatientID = f"P{number // 2}"  # two studies of each patient

    values = np.zeros((7, 12, 12))
    values[2].flat[: number + 1] = 9000 if number == POISON else 1000
    return with_pixels(slice_headers(7, size=(12, 12), edit=name), values)


def _encoded(data_set: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def _push(product: Product, sender: str, images: list[Dataset], called: str = "OVERREAD") -> None:
    """One association, as a modality sends a study."""
    with associated(product.port, called, ((str(MRImageStorage), EXPLICIT),), sender) as association:
        for number, image in enumerate(images, 1):
            status = send(association, _encoded(image), str(image.SOPInstanceUID), number, str(MRImageStorage))
            assert status == 0x0000


def _send_all(product: Product) -> None:
    """Each sender its share, all three at once; of the two halves the second comes from another sender."""
    whole = {number: _study(number)[:6] for number in range(STUDIES)}
    rounds = [
        [(number, whole[number]) for number in range(place, STUDIES, len(SENDERS))] for place in range(len(SENDERS))
    ]
    failures: list[BaseException] = []

    def work(place: int) -> None:
        try:
            for number, images in rounds[place]:
                if number == HALVES:
                    images = images[::2]
                if number != URGENT:
                    _push(product, SENDERS[place], images)
            if place == (HALVES + 1) % len(SENDERS):
                _push(product, SENDERS[place], whole[HALVES][1::2])
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(SENDERS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _push(product, SENDERS[URGENT % len(SENDERS)], whole[URGENT], "EMERGENCY")
    assert failures == []


@contextmanager
def _worker_held(product: Product) -> Iterator[None]:
    """The worker stands still while all fifty come, so that the order in which it takes them can be told."""
    product.wait_until(lambda: product.role("work") is not None, "the worker runs")
    worker = product.role("work")
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def _children(process_id: int) -> list[int]:
    listings = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for listing in listings for child in listing.read_text().split()]


def _crash_whatever_takes_the_poison(product: Product, over: threading.Event) -> None:
    """Segmentation faults in the process that runs the network, each time it has gone round with the poison a while."""
    while not over.wait(0.2):
        if _state(product, POISON) != "in_progress":
            continue
        time.sleep(1)
        if _state(product, POISON) != "in_progress":  # it was given back meanwhile, and the child is at another study
            continue
        worker = product.role("work")
        for child in _children(worker) if worker is not None else ():
            with suppress(FileNotFoundError, ProcessLookupError):
                if b"inference.model_child.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGSEGV)


def _jobs(product: Product, kind: str) -> dict[str, list[dict[str, Any]]]:
    """The jobs of each study; none of a study that still stands in the spool."""
    jobs: dict[str, list[dict[str, Any]]] = {}
    for number in range(STUDIES):
        with suppress(UnknownRecord):
            facts = product.overview().explain(_uid(number))
            jobs[_uid(number)] = [job for job in facts["jobs"] if job["kind"] == kind]
    return jobs


def _count(product: Product, kind: str) -> int:
    return sum(map(len, _jobs(product, kind).values()))


def _state(product: Product, number: int) -> str:
    facts = product.overview().explain(_uid(number))
    return next((str(job["state"]) for job in facts["jobs"] if job["kind"] == "inference"), "")


def _kept(pacs: RecordingPacs, sop_class_uid: str) -> dict[str, list[Dataset]]:
    """What the PACS has of this class, by study."""
    found: dict[str, list[Dataset]] = {}
    for contents in pacs.contents.values():
        (content,) = contents  # never two contents under one UID
        data_set = dcmread(BytesIO(content), force=True)
        if data_set.SOPClassUID == sop_class_uid:
            found.setdefault(str(data_set.StudyInstanceUID), []).append(data_set)
    return found


def _order(pacs: RecordingPacs) -> list[str]:
    """The studies in the order in which their first object came."""
    studies = [str(dcmread(BytesIO(content), force=True).StudyInstanceUID) for _, content in pacs.received]
    return list(dict.fromkeys(studies))


@contextmanager
def _dashboard(product: Product) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=f"http://127.0.0.1:{product.settings['OVERREAD_WEB_PORT']}")
        page.goto("/")
        page.get_by_label("Name").fill("operator")
        page.get_by_label("Password").fill(_PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        yield page
        browser.close()


@pytest.fixture
def hospital(product: Product, recording_pacs: RecordingPacs, tmp_path: Path) -> Product:
    """A running product with one seat for analyses, a route for emergencies, and a PACS."""
    product.settings |= destination(recording_pacs.port) | {
        "OVERREAD_WEB_PORT": str(free_port()),
        "OVERREAD_STUDY_QUIET_SECONDS": "4",
        "OVERREAD_WORKER_DEVICE": "cpu",
        "OVERREAD_WORKER_JOBS_AT_ONCE": "1",
        "OVERREAD_JOBS_LEASE_SECONDS": "60",
        "OVERREAD_LISTENER_ROUTES": '[{"ae_title": "EMERGENCY", "priority": "stat"}]',
    }
    folder = write_tiny_algorithm(tmp_path / "tiny", hostile_networks.endless_when_brighter(5000))
    assert product.command("algorithms", "add", str(folder)).returncode == 0
    added = product.command("users", "add", "operator", "--role", "operator", "--password-stdin", typed=_PASSWORD)
    assert added.returncode == 0, added.stderr
    product.start()
    return product


def test_fifty_studies_of_three_senders_come_out_right(hospital: Product, recording_pacs: RecordingPacs) -> None:
    """Each study gets its own result, once; the urgent one, which came last, is first; the poison is given up with its
    series, step and signal and costs no other study an attempt; the late image makes a second report that names the
    first; both halves are one study; and the dashboard says all that."""
    over = threading.Event()
    crasher = threading.Thread(target=_crash_whatever_takes_the_poison, args=(hospital, over))
    with _worker_held(hospital):
        _send_all(hospital)
        hospital.wait_until(lambda: _count(hospital, "inference") == STUDIES, "all fifty wait")
        crasher.start()
    try:
        hospital.wait_for_study(_uid(LATE), "done")
        _push(hospital, SENDERS[0], _study(LATE)[6:])
        hospital.wait_until(lambda: len(_jobs(hospital, "delivery")[_uid(LATE)]) == 2, "the late image was analysed")
        hospital.wait_until(lambda: _state(hospital, POISON) == "failed", "the poison was given up")
        settled = {"completed", "failed"}
        hospital.wait_until(
            lambda: all(
                job["state"] in settled
                for kind in ("inference", "notice", "delivery")
                for jobs in _jobs(hospital, kind).values()
                for job in jobs
            ),
            "everything came to its end",
        )
    finally:
        over.set()
        crasher.join()

    _assert_results(recording_pacs)
    assert _order(recording_pacs)[0] == _uid(URGENT)
    inferences = _jobs(hospital, "inference")
    assert {uid: len(jobs) for uid, jobs in inferences.items() if len(jobs) != 1} == {_uid(LATE): 2}
    poison = inferences.pop(_uid(POISON))
    assert {(job["state"], job["attempt"]) for jobs in inferences.values() for job in jobs} == {("completed", 1)}
    assert [(job["state"], job["attempt"], job["reason_code"]) for job in poison] == [("failed", 2, "model-child-died")]
    told = hospital.explain(_uid(POISON))
    assert f"signal 11 (SIGSEGV) in the step infer of series {_uid(POISON)}.1" in told
    assert hospital.silent_instances() == []
    _assert_dashboard(hospital)


def _assert_results(pacs: RecordingPacs) -> None:
    """One segmentation of each study with its own number of voxels, two where an image came late, none of poison."""
    outlined = {
        uid: sorted(int(np.unpackbits(np.frombuffer(one.PixelData, np.uint8)).sum()) for one in segmentations)
        for uid, segmentations in _kept(pacs, SegmentationStorage).items()
    }
    expected = {_uid(number): [number + 1] for number in range(STUDIES) if number != POISON}
    assert outlined == expected | {_uid(LATE): [LATE + 1, LATE + 1]}
    reports = _kept(pacs, Comprehensive3DSRStorage)
    assert {uid: len(each) for uid, each in reports.items()} == {uid: len(each) for uid, each in outlined.items()}
    first, second = sorted(reports[_uid(LATE)], key=lambda one: "PredecessorDocumentsSequence" in one)
    named = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert [_inputs(one) for one in (first, second, *reports[_uid(HALVES)])] == [6, 7, 6]
    assert {str(one.PatientID) for one in reports[_uid(HALVES)]} == {f"P{HALVES // 2}"}


def _inputs(report: Dataset) -> int:
    """How many images a report names in its evidence."""
    return sum(
        instance.ReferencedSOPClassUID == MRImageStorage
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    )


def _assert_dashboard(product: Product) -> None:
    """The overview counts what is done and what failed, and the page of the poison says why."""
    _ARTIFACTS.mkdir(exist_ok=True)
    with _dashboard(product) as page:
        page.screenshot(path=_ARTIFACTS / "fifty-studies-overview.png", full_page=True)
        page.goto("/studies?state=failed")
        expect(page.locator("main")).to_contain_text(_uid(POISON))
        page.screenshot(path=_ARTIFACTS / "fifty-studies-failed.png", full_page=True)
        page.goto(f"/studies/{_uid(POISON)}")
        expect(page.locator("main")).to_contain_text("signal 11 (SIGSEGV) in the step infer")
        page.screenshot(path=_ARTIFACTS / "fifty-studies-poison.png", full_page=True)
        page.goto(f"/studies/{_uid(URGENT)}")
        expect(page.locator("main")).to_contain_text("stat")
        page.goto(f"/studies/{_uid(LATE)}")
        expect(page.locator("main")).to_contain_text("revision 2")
        page.screenshot(path=_ARTIFACTS / "fifty-studies-late.png", full_page=True)
