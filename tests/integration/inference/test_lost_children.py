"""A job that kills, hangs or fills the process that runs it costs that process, never the worker or another job."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from inference import worker as worker_module
from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.result_uids import USUAL_NAMING
from inference.model_child.messages import Analysis
from inference.model_child.process import ChildLimits, ModelChild
from inference.model_child.running import RunningChild
from inference.settings import WorkerSettings
from storage.domain.job import ClaimedJob
from storage.domain.job_statistics import Stage
from tests.integration.inference.conftest import Site
from tests.integration.inference.small_studies import POISON, jobs, receive
from tests.peers import hostile_networks
from tests.peers.tiny_algorithm import write_tiny_algorithm

_ROOMY = ChildLimits(4 * 2**30, 120)
_IMPATIENT = ChildLimits(4 * 2**30, 15)  # a cold child on a busy machine needs some of it


@contextlib.contextmanager
def _child(site: Site, limits: ChildLimits = _ROOMY) -> Iterator[ModelChild]:
    child = ModelChild(WorkerSettings(device="cpu", threads=1), limits)
    try:
        child.start()
        yield child
    finally:
        child.end()


@contextlib.contextmanager
def _worker(site: Site, child: ModelChild) -> Iterator[threading.Event]:
    """A worker that has its analyses done by this child."""

    def analyse(job: ClaimedJob) -> object:
        algorithm = site.algorithms.find(job.algorithm_name, job.algorithm_version)
        study = site.studies.stable_study(job.study_instance_uid, job.revision)
        return child.ask(Analysis(study, algorithm, job.started_at, b"s" * 32, DEFAULT_FORMS, USUAL_NAMING))

    with site.worker(analyse, child.interrupt) as stop:
        yield stop


def _sentence(site: Site, uid: str) -> str:
    sentences = site.rows(
        "SELECT study_instance_uid, reason_sentence FROM job JOIN study ON study.id = study_id WHERE kind = 'inference'"
    )
    return str(dict(sentences)[uid])


def _time_flies(site: Site) -> None:
    site.execute("SET session_replication_role = replica; UPDATE job SET due_at = now() WHERE state = 'scheduled'")


def _kill_whenever_it_infers(child: ModelChild, number: signal.Signals, stop: threading.Event) -> None:
    killed: set[int | None] = set()
    while not stop.wait(0.02):
        process = child.process_id
        if child.stage == Stage.INFER and process is not None and process not in killed:
            killed.add(process)
            os.kill(process, number)


def test_a_poisonous_study_is_parked_and_the_others_go_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Of five studies one sends the network into an endless loop: it is given up after two children, with its step.

    The others are analysed at their first attempt, and the worker is the same all along.
    """
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.endless_when_brighter(5000)))
    others = [receive(site, number) for number in (1, 2)]
    poison = receive(site, 3, POISON)
    others += [receive(site, number) for number in (4, 5)]

    with _child(site, _IMPATIENT) as child, _worker(site, child):
        site.wait_for(lambda: all(jobs(site)[uid][0] == "completed" for uid in others))
        site.wait_for(lambda: jobs(site)[poison][:2] == ("scheduled", "analysis-too-slow"))
        assert jobs(site)[poison][2:] == (1, 1)
        _time_flies(site)
        site.wait_for(lambda: jobs(site)[poison][0] == "failed")

    assert jobs(site) == {poison: ("failed", "analysis-too-slow", 2, 2)} | dict.fromkeys(
        others, ("completed", None, 1, 0)
    )
    assert f"step infer of series {poison}.1" in _sentence(site, poison)
    assert child.lost == 2
    assert site.rows("SELECT count(*) FROM job WHERE kind = 'notice'") == [(1,)]
    assert "unexpected" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_job_that_crashes_two_children_is_given_up(site: Site, number: signal.Signals) -> None:
    """The reason of both attempts, and of the end, names the signal and the step."""
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.endless_when_brighter(5000)))
    uid = receive(site, 1, POISON)
    over = threading.Event()

    with _child(site) as child, _worker(site, child):
        killer = threading.Thread(target=_kill_whenever_it_infers, args=(child, number, over))
        killer.start()
        try:
            site.wait_for(lambda: jobs(site)[uid] == ("scheduled", "model-child-died", 1, 1))
            assert f"signal {number.value} ({number.name}) in the step infer" in _sentence(site, uid)
            _time_flies(site)
            site.wait_for(lambda: jobs(site)[uid] == ("failed", "model-child-died", 2, 2))
        finally:
            over.set()
            killer.join()

    assert f"signal {number.value} ({number.name}) in the step infer of series {uid}.1" in _sentence(site, uid)


def test_a_job_that_asks_for_too_much_memory_is_given_up(site: Site) -> None:
    """It is told as a lack of memory, and nothing of it reaches a destination."""
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.eating_at_once(8)))
    uid = receive(site, 1)

    with _child(site, ChildLimits(2 * 2**30, 120)) as child, _worker(site, child):
        site.wait_for(lambda: jobs(site)[uid] == ("scheduled", "out-of-memory", 1, 1))
        _time_flies(site)
        site.wait_for(lambda: jobs(site)[uid] == ("failed", "out-of-memory", 2, 2))

    assert site.rows("SELECT count(*) FROM result_origin") == [(0,)]


def test_a_child_that_is_stopped_while_it_has_no_job_costs_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed before a job is given to it: a fresh one does the next job in its first attempt."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    uid = receive(site, 1)

    with _child(site) as child:
        process = child.process_id
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        with _worker(site, child):
            site.wait_for(lambda: jobs(site)[uid][0] == "completed")
        assert child.process_id not in (process, None)
        assert child.lost == 0

    assert jobs(site)[uid][2:] == (1, 0)
    assert "a model child without a job was stopped" in caplog.text


def test_a_child_that_dies_before_its_job_begins_costs_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is not to blame, so a fresh child does it within the same attempt."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    uid = receive(site, 1)
    fault, stopped = RunningChild.fault, threading.Event()

    def well_for_the_last_time(running: RunningChild, patience: float) -> str:
        """It answers, and is stopped before it is given the job."""
        answered = fault(running, patience)
        if not stopped.is_set():
            os.kill(running.process.pid, signal.SIGSTOP)
            stopped.set()
        return answered

    monkeypatch.setattr(RunningChild, "fault", well_for_the_last_time)
    with _child(site) as child:
        process = child.process_id
        assert process is not None
        with _worker(site, child):
            site.wait_for(stopped.is_set)
            os.kill(process, signal.SIGKILL)
            site.wait_for(lambda: jobs(site)[uid][0] == "completed")
        assert child.lost == 1

    assert jobs(site)[uid][2:] == (1, 0)


def test_canceled_work_gives_its_device_back(site: Site) -> None:
    """An operator's cancel ends the child, so the next study does not wait for the time limit of the last."""
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.endless_when_brighter(5000)))
    poison = receive(site, 1, POISON)

    with _child(site) as child, _worker(site, child):
        site.wait_for(lambda: child.stage == Stage.INFER)
        ((job_id,),) = site.rows("SELECT id FROM job WHERE kind = 'inference'")
        site.queue.cancel(job_id, "tests")
        other = receive(site, 2)
        site.wait_for(lambda: jobs(site)[other][0] == "completed")

    assert jobs(site)[poison][0] == "canceled"


def test_a_worker_that_is_stopped_gives_a_hanging_job_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its grace, without counting a death against the job, and the child is gone afterwards."""
    monkeypatch.setattr(worker_module, "_GRACE_S", 1.0)
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.endless_when_brighter(5000)))
    uid = receive(site, 1, POISON)

    with _child(site) as child, _worker(site, child) as stop:
        site.wait_for(lambda: child.stage == Stage.INFER)
        stop.set()
        site.wait_for(lambda: jobs(site)[uid] == ("scheduled", "worker-stopped", 1, 0))


def test_the_file_of_a_model_is_damaged_while_it_runs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What is resident goes on with the bytes that were checked; a fresh child refuses the file, and jobs wait."""
    caplog.set_level(logging.INFO, "inference")
    folder = write_tiny_algorithm(site.folder / "tiny")
    site.install(folder)
    content = (folder / "model.onnx").read_bytes()
    with _child(site) as child, _worker(site, child):
        first = receive(site, 1)
        site.wait_for(lambda: jobs(site)[first][0] == "completed")
        (folder / "model.onnx").write_bytes(hostile_networks.not_a_number())
        second = receive(site, 2)
        site.wait_for(lambda: jobs(site)[second][0] == "completed")
        process = child.process_id
        assert process is not None
        os.kill(process, signal.SIGKILL)
        third = receive(site, 3)
        site.wait_for(lambda: jobs(site)[third][:2] == ("scheduled", "artifact-unavailable"))
        (folder / "model.onnx").write_bytes(content)
        _time_flies(site)
        site.wait_for(lambda: jobs(site)[third][0] == "completed")

    digests = {row[0] for row in site.rows("SELECT artifact_sha256 FROM result")}
    assert len(digests) == 1
