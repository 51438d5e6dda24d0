"""The delivery process as it runs: through outages, kills and stops, to a real PACS."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.domain.job import JobKind
from storage.domain.result import EvidenceObject, EvidenceRole
from storage.postgres.lease_rescue import rescue_next_lease
from tests.peers.commitment_pacs import CommitmentPacs, report_on
from tests.peers.evidence_files import data_set_bytes, evidence_object
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs, silent_listener
from tests.peers.result_desk import ResultDesk

_PROGRAM = """
import json, logging, sys
from pathlib import Path
from listener.scu import main
from listener.scu.settings import DestinationSettings
from storage.settings import JobSettings
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
url, data_dir, grace, keys, *ports = sys.argv[1:]
main._GRACE_SECONDS = float(grace)
names = ["pacs", *(f"pacs{number}" for number in range(1, len(ports)))]
usual = {"ae_title": "PACS", "host": "127.0.0.1", "proof_after_seconds": 0}
pacs = tuple(DestinationSettings(**{"name": name, "port": int(port)} | usual | json.loads(keys))
    for name, port in zip(names, ports))
sys.exit(main.deliver(pacs, ae_title="OVERREAD", data_dir=Path(data_dir), database_url=url,
    jobs=JobSettings(lease_seconds=1)))
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_delivery(desk: ResultDesk, tmp_path: Path) -> Iterator[Start]:
    """Start the delivery process for destinations pacs, pacs1, … at these ports; its log is tmp_path/"log"."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*ports: int, grace: float = 20, **keys: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _PROGRAM, desk.database_url, str(desk.data_dir), str(grace), json.dumps(keys)]
        command += map(str, ports)
        with (tmp_path / "log").open("ab") as log:
            started.append(subprocess.Popen(command, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def evidence() -> tuple[EvidenceObject, EvidenceObject]:
    """A segmentation and its report."""
    return evidence_object(EvidenceRole.SEGMENTATION, payload=100_000), evidence_object(EvidenceRole.REPORT)


def wait_for_job(desk: ResultDesk, state: str) -> None:
    """Return once the delivery has this state and was attempted."""
    deadline = time.monotonic() + 60
    while desk.job()["state"] != state or desk.job()["attempt"] == 0:
        assert time.monotonic() < deadline, f"the delivery is still {desk.job()['state']}, not {state}"
        desk.queue.wait_for_work(JobKind.DELIVERY, 0.1)


def test_a_pacs_that_comes_back_gets_its_results_by_itself(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """While the PACS is down the delivery waits; once it is up everything arrives without a hand."""
    segmentation, report = evidence()
    port = recording_pacs.port
    recording_pacs.stop()
    desk.owe(segmentation, report)
    process = start_delivery(port)
    wait_for_job(desk, "scheduled")

    recording_pacs.start(port)
    recording_pacs.wait_until(lambda pacs: len(pacs.contents) == 2)
    wait_for_job(desk, "completed")
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    assert recording_pacs.contents == {
        item.sop_instance_uid: {data_set_bytes(item.part10)} for item in (segmentation, report)
    }


def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """Killed between two instances, the next process sends the frozen bytes again: one content under each UID."""
    segmentation, report = evidence()
    desk.owe(segmentation, report)
    recording_pacs.answer(0x0000)
    recording_pacs.stay_silent_next()
    process = start_delivery(recording_pacs.port)
    recording_pacs.wait_until(lambda pacs: len(pacs.received) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    recording_pacs.let_go()

    desk.execute("SELECT pg_sleep(1)")  # the dead process's lease
    assert rescue_next_lease(desk.database, desk.jobs) is not None
    desk.make_due()
    start_delivery(recording_pacs.port)
    wait_for_job(desk, "completed")

    assert recording_pacs.contents == {
        item.sop_instance_uid: {data_set_bytes(item.part10)} for item in (segmentation, report)
    }
    assert set(desk.deliveries().values()) == {("acknowledged", 0x0000)}


def test_a_stop_finishes_the_job_in_hand(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """SIGTERM during a send lets it end: the delivery is complete and the process exits with 0."""
    segmentation, report = evidence()
    desk.owe(segmentation, report)
    recording_pacs.stay_silent_next()
    process = start_delivery(recording_pacs.port)
    recording_pacs.wait_until(lambda pacs: len(pacs.received) == 1)

    process.send_signal(signal.SIGTERM)
    recording_pacs.let_go()

    assert process.wait(30) == 0
    assert desk.job()["state"] == "completed"


def test_a_stop_gives_back_the_job_that_a_silent_pacs_holds_up(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """When the PACS stays silent beyond the grace, the job is given back, due at once, and the process exits with 0."""
    segmentation, report = evidence()
    desk.owe(segmentation, report)
    recording_pacs.answer(0x0000)
    recording_pacs.stay_silent_next()
    process = start_delivery(recording_pacs.port, grace=0.1)
    recording_pacs.wait_until(lambda pacs: len(pacs.received) == 2)

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    (row,) = desk.execute("SELECT state, due_at <= now() AS due FROM job WHERE kind = 'delivery'")
    assert row == {"state": "scheduled", "due": True}
    assert desk.deliveries() == {
        segmentation.sop_instance_uid: ("acknowledged", 0x0000),
        report.sop_instance_uid: ("waiting", None),
    }


def test_a_real_orthanc_receives_the_frozen_bytes(desk: ResultDesk, start_delivery: Start, orthanc: Orthanc) -> None:
    """Orthanc holds exactly our two instances, and their data sets are those that were frozen."""
    study = "1.2.826.0.1.3680043.8.498.1"
    segmentation = evidence_object(EvidenceRole.SEGMENTATION, 100_000, study)
    report = evidence_object(EvidenceRole.REPORT, 2000, study)
    desk.owe(segmentation, report)

    start_delivery(orthanc.dicom_port)
    wait_for_job(desk, "completed")

    held = {uid: data_set_bytes(part10) for uid, part10 in orthanc.instances_of(study)}
    assert held == {item.sop_instance_uid: data_set_bytes(item.part10) for item in (segmentation, report)}


def test_the_process_sends_proves_and_stops_over_the_web(
    desk: ResultDesk, start_orthanc: Callable[..., Orthanc], start_delivery: Start
) -> None:
    """A destination of kind stow is served as any other: Orthanc gets both by STOW-RS, and QIDO-RS finds them."""
    web_orthanc = start_orthanc(dicomweb=True)
    study = "1.2.826.0.1.3680043.8.498.9"
    segmentation = evidence_object(EvidenceRole.SEGMENTATION, 100_000, study)
    report = evidence_object(EvidenceRole.REPORT, 2000, study)
    desk.owe(segmentation, report)
    desk.execute("UPDATE study SET study_instance_uid = %s", study)
    url = f"http://127.0.0.1:{web_orthanc.http_port}/dicom-web"
    process = start_delivery(0, kind="stow", url=url, ae_title="", host="", proof="query")

    wait_for_proof(desk)
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0
    held = {uid: data_set_bytes(part10) for uid, part10 in web_orthanc.instances_of(study)}
    assert held == {item.sop_instance_uid: data_set_bytes(item.part10) for item in (segmentation, report)}


def wait_for_proof(desk: ResultDesk) -> None:
    """Return once both objects are proven."""
    deadline = time.monotonic() + 60
    while [row["state"] for row in desk.execute("SELECT state FROM delivery_proof")] != ["proven", "proven"]:
        assert time.monotonic() < deadline, "not proven"
        time.sleep(0.1)


def test_the_process_asks_for_proof_and_stops_in_order(
    desk: ResultDesk, commitment_pacs: CommitmentPacs, start_delivery: Start
) -> None:
    """What it delivered it asks the PACS to commit to; the report on the same association proves it."""
    segmentation, report = evidence()
    commitment_pacs.report = report_on
    desk.owe(segmentation, report)
    process = start_delivery(commitment_pacs.port, proof="commitment")

    wait_for_proof(desk)
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0


def test_a_dead_and_a_silent_destination_delay_no_other(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """With one destination silent and one down, both in front, the third gets all objects, in order and once (F19)."""
    segmentation, report = evidence()
    desk.owe(segmentation, report, destinations=("pacs", "pacs1", "pacs2"))
    with silent_listener() as silent:
        process = start_delivery(silent, free_port(), recording_pacs.port, grace=0.1)
        deadline = time.monotonic() + 60
        while desk.job("pacs2")["state"] != "completed" or not (
            desk.job("pacs")["attempt"] and desk.job("pacs1")["attempt"]
        ):
            assert time.monotonic() < deadline
            desk.queue.wait_for_work(JobKind.DELIVERY, 0.1)

        assert desk.job("pacs")["state"] == "in_progress"  # still held by the silent one, at its first attempt
        assert desk.job("pacs")["attempt"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [uid for uid, _ in recording_pacs.received] == [segmentation.sop_instance_uid, report.sop_instance_uid]
    assert {desk.job(name)["state"] for name in ("pacs", "pacs1")} == {"scheduled"}


def test_a_destination_is_served_by_as_many_associations_as_it_takes(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """With two, a result goes while the PACS still thinks about another; each arrives once, its segmentation first."""
    results = [evidence(), evidence(), evidence()]
    for segmentation, report in results:
        desk.owe(segmentation, report)
    recording_pacs.stay_silent_next()
    recording_pacs.stay_silent_next()
    start_delivery(recording_pacs.port, associations=2)
    recording_pacs.wait_until(lambda pacs: len(pacs.received) == 2)
    recording_pacs.let_go()
    recording_pacs.wait_until(lambda pacs: len(pacs.contents) == 6)

    sent = [uid for uid, _ in recording_pacs.received]
    assert len(sent) == 6
    for segmentation, report in results:
        assert sent.index(segmentation.sop_instance_uid) < sent.index(report.sop_instance_uid)


def test_a_delivery_to_a_destination_that_was_removed_is_given_up(
    desk: ResultDesk, recording_pacs: RecordingPacs, start_delivery: Start
) -> None:
    """What no lane serves is not left in silence: it fails, and says which entry lacks."""
    desk.owe(evidence_object(EvidenceRole.REPORT), destinations=("removed",))
    start_delivery(recording_pacs.port)

    deadline = time.monotonic() + 60
    while desk.job("removed")["state"] != "failed":
        assert time.monotonic() < deadline
        desk.queue.wait_for_work(JobKind.DELIVERY, 0.1)

    assert desk.job("removed")["reason_code"] == "destination-not-configured"
