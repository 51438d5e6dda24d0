"""The process that runs models: what it answers, what it may not do, and how it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference.errors import (
    ArtifactUnavailable,
    DeviceFull,
    DeviceUnavailable,
    InstallationChanged,
    InvalidOutput,
    ModelChildLost,
    ModelChildNotStarted,
    OutOfMemory,
    PredictionFailed,
    UnusableInput,
)
from inference.model_child import process as process_module
from inference.model_child import running as running_module
from inference.model_child.process import ChildLimits, ModelChild
from inference.pipeline import analyse
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from storage.domain.job_statistics import Stage
from storage.domain.result import NewResult
from tests.integration.inference.child_study import ChildStudy
from tests.peers import hostile_networks

_SETTINGS = WorkerSettings(device="cpu", threads=1)
_ROOMY = ChildLimits(4 * 2**30, 120)
_DEADLINE_S = 60.0


@pytest.fixture
def study(tmp_path: Path) -> ChildStudy:
    """A study on disk."""
    return ChildStudy(tmp_path)


@pytest.fixture(scope="module")
def resident_child() -> Iterator[ModelChild]:
    """One child for all tests that do not kill it."""
    child = ModelChild(_SETTINGS, _ROOMY)
    child.start()
    yield child
    child.end()


@contextlib.contextmanager
def _child(limits: ChildLimits = _ROOMY) -> Iterator[ModelChild]:
    child = ModelChild(_SETTINGS, limits)
    try:
        child.start()
        yield child
    finally:
        child.end()


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the awaited state did not come"
        threading.Event().wait(0.02)


@contextlib.contextmanager
def _once_it_infers(child: ModelChild, act: Callable[[int], None]) -> Iterator[None]:
    """Do something to the child's process as soon as it runs the network of the job that the block gives it."""

    def wait_and_act() -> None:
        _wait_for(lambda: child.stage == Stage.INFER)
        process = child.process_id
        assert process is not None
        act(process)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        thread.join(_DEADLINE_S)


def _lost(child: ModelChild, study: ChildStudy, network: bytes) -> tuple[str, str]:
    """Code and sentence of a job that costs the child."""
    with pytest.raises(ModelChildLost) as caught:
        child.ask(study.request(network, "hostile"))
    return caught.value.reason.code, caught.value.reason.sentence


def test_the_child_gives_what_the_pipeline_gives(resident_child: ModelChild, study: ChildStudy) -> None:
    """Over the wire nothing is lost or changed: findings, text, pictures and every byte of the evidence."""
    request = study.request()
    ready = ResidentAlgorithms(_SETTINGS).ready(request.algorithm)

    here = analyse(request.study, ready, request.started_at, request.site_secret)
    there = resident_child.ask(request)

    assert isinstance(here, NewResult)
    assert isinstance(there, NewResult)
    assert [one.part10 for one in there.evidence] == [one.part10 for one in here.evidence]
    for field in (
        *("series_instance_uid", "input_sop_instance_uids", "artifact_sha256", "execution_provider", "findings"),
        *("report_text", "pictures"),
    ):
        assert getattr(there, field) == getattr(here, field)


@pytest.mark.parametrize("network", ["not_a_number", "infinite", "empty"])
def test_an_output_that_is_none_is_never_a_negative(
    resident_child: ModelChild, study: ChildStudy, network: str
) -> None:
    """NaN, infinity and an output without voxels are errors, and the child goes on."""
    before = resident_child.process_id

    with pytest.raises(InvalidOutput):
        resident_child.ask(study.request(getattr(hostile_networks, network)()))

    assert resident_child.process_id == before


def test_refusals_come_with_their_codes(resident_child: ModelChild, study: ChildStudy) -> None:
    """Unusable input keeps its code, its sentence and what was found of each series."""
    request = study.request()
    request.study.instances[3].path.unlink()

    with pytest.raises(UnusableInput) as caught:
        resident_child.ask(request)

    assert caught.value.reason.code == "missing-object"
    assert [one.series_instance_uid for one in caught.value.refusals] == [study.series_instance_uid]


def test_a_checked_model_stays_whatever_happens_to_its_file(study: ChildStudy) -> None:
    """Cut, corrupted, replaced or missing under a running child: what it loaded goes on; a new load is refused."""
    request = study.request()
    model = request.algorithm.folder / "model.onnx"
    content = model.read_bytes()
    with _child() as child:
        first = child.ask(request)
        for damage in (content[:-1], b"\0" + content[1:], hostile_networks.not_a_number(), None):
            model.unlink() if damage is None else model.write_bytes(damage)
            again = child.ask(request)
            assert isinstance(first, NewResult)
            assert isinstance(again, NewResult)
            assert again.artifact_sha256 == request.algorithm.artifact_sha256
            assert [one.part10 for one in again.evidence] == [one.part10 for one in first.evidence]
            with _child() as fresh, pytest.raises(ArtifactUnavailable):
                fresh.ask(request)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL])
def test_a_signal_costs_one_attempt_and_names_itself(study: ChildStudy, number: signal.Signals) -> None:
    """The reason says signal, step and series; the next job finds another child, which does its work."""
    with _child() as child:
        before = child.process_id
        with _once_it_infers(child, lambda process: os.kill(process, number)):
            code, sentence = _lost(child, study, hostile_networks.endless_loop())

        assert code == "model-child-died"
        assert f"signal {number.value} ({number.name})" in sentence
        assert f"step infer of series {study.series_instance_uid}" in sentence
        assert isinstance(child.ask(study.request()), NewResult)
        assert child.process_id != before
        assert child.lost == 1


def test_an_endless_loop_is_stopped(study: ChildStudy) -> None:
    """A network of 2^62 rounds ends with the time limit, and the child with it."""
    with _child(ChildLimits(4 * 2**30, 3)) as child:
        code, sentence = _lost(child, study, hostile_networks.endless_loop())

    assert code == "analysis-too-slow"
    assert "step infer" in sentence


def test_a_child_that_hangs_is_stopped(study: ChildStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped by SIGSTOP hears nothing, and is ended long before the time limit, which may be hours."""
    monkeypatch.setattr(running_module, "STOPPED_S", 1.0)
    with (
        _child(ChildLimits(4 * 2**30, 3600)) as child,
        _once_it_infers(child, lambda process: os.kill(process, signal.SIGSTOP)),
    ):
        code, sentence = _lost(child, study, hostile_networks.endless_loop())

    assert code == "model-child-died"
    assert (
        f"was stopped by a signal, and not continued for 30 s, in the step infer of series {study.series_instance_uid}"
        in sentence
    )


def test_a_child_that_is_continued_goes_on_with_its_job(study: ChildStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who looks at it with a debugger for a moment costs the job nothing."""
    monkeypatch.setattr(running_module, "STOPPED_S", 2.0)

    def hold(process: int) -> None:
        for _ in range(3):
            os.kill(process, signal.SIGSTOP)
            threading.Event().wait(1.0)
            os.kill(process, signal.SIGCONT)
            threading.Event().wait(0.5)
        child.interrupt()

    with _child() as child, _once_it_infers(child, hold):
        _, sentence = _lost(child, study, hostile_networks.endless_loop())

    assert "nobody waits" in sentence


@pytest.mark.parametrize("network", [hostile_networks.eating_at_once(8), hostile_networks.growing()])
def test_memory_beyond_the_limit_is_refused(study: ChildStudy, network: bytes) -> None:
    """The kernel gives no more than the setting says, at once or bit by bit, and the job says so."""
    with _child(ChildLimits(2 * 2**30, 120)) as child:
        before = child.process_id
        with pytest.raises(OutOfMemory):
            child.ask(study.request(network, "hostile"))

        assert isinstance(child.ask(study.request()), NewResult)
        assert child.process_id != before


def test_a_child_that_holds_too_much_is_ended(study: ChildStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel does not refuse, as with the driver of a GPU, the child is watched."""
    monkeypatch.setattr(running_module, "own_bytes", lambda _: 3 * 2**30)
    with _child(ChildLimits(2 * 2**30, 120)) as child:
        code, sentence = _lost(child, study, hostile_networks.endless_loop())

    assert code == "out-of-memory"
    assert "2.0 GiB" in sentence


def test_what_a_process_holds_is_counted() -> None:
    """A process that fills 300 MB holds at least as much, and one that is gone holds nothing."""
    program = "held = bytearray(b'x') * (300 * 2**20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        assert 300 * 2**20 <= running_module.own_bytes(holder.pid) < 400 * 2**20
        holder.kill()
    assert running_module.own_bytes(holder.pid) == 0


def test_a_device_that_fails_gets_a_fresh_process(study: ChildStudy) -> None:
    """A runtime that failed may have lost its device for good, so the next job finds a child that opens it anew."""
    with _child() as child:
        before = child.process_id
        with pytest.raises(PredictionFailed):
            child.ask(study.request(hostile_networks.failing(), "hostile"))

        assert isinstance(child.ask(study.request()), NewResult)
        assert child.process_id != before


@contextlib.contextmanager
def _child_on_a_full_gpu(policy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelChild]:
    monkeypatch.setattr(running_module, "_PROGRAM", ("-m", "tests.peers.full_device"))
    child = ModelChild(_SETTINGS.model_copy(update={"device": "cuda", "when_device_full": policy}), _ROOMY)
    try:
        yield child
    finally:
        child.end()


def test_the_cpu_takes_over_from_a_full_gpu_where_it_may(
    study: ChildStudy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The result names the CPU, which is where it was computed, and the log says in a sentence why."""
    with _child_on_a_full_gpu("cpu", monkeypatch) as child:
        result = child.ask(study.request())

    assert isinstance(result, NewResult)
    assert result.execution_provider == "CPUExecutionProvider"
    (said,) = [record.getMessage() for record in caplog.records if "CPU, as" in record.getMessage()]
    assert said.startswith("The network asks for more memory than CUDAExecutionProvider has left")
    assert child.lost == 0


@pytest.mark.parametrize(("policy", "waits"), [("wait", True), ("fail", False)])
def test_a_full_gpu_is_told_where_the_cpu_may_not_take_over(
    study: ChildStudy, monkeypatch: pytest.MonkeyPatch, policy: str, waits: bool
) -> None:
    """The job learns whether to wait, and the child that met it is replaced by a fresh one, which is no death."""
    with _child_on_a_full_gpu(policy, monkeypatch) as child:
        child.start()
        before = child.process_id
        with pytest.raises(DeviceFull) as caught:
            child.ask(study.request())

        assert caught.value.may_wait is waits
        assert child.process_id not in (None, before)
        assert child.lost == 0


@pytest.mark.parametrize("how", ["killed", "stopped", "silent"])
def test_a_child_that_is_lost_between_two_jobs_is_replaced(
    study: ChildStudy, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nobody's job pays for it: it is noticed by its status, by its state, or because it does not answer."""
    with _child() as child:
        process = child.process_id
        assert process is not None
        if how == "silent":
            child.ask(study.request())  # what is loaded before the first job is, so an answer would come at once
            monkeypatch.setattr(process_module, "_PING_S", 1.0)
            monkeypatch.setattr(running_module, "is_stopped", lambda _: False)
        os.kill(process, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        _wait_for(lambda: _state(process) in ("Z", "", "T"))

        assert isinstance(child.ask(study.request()), NewResult)
        assert child.process_id != process
        assert child.lost == 0


def test_a_job_that_nobody_waits_for_is_ended(study: ChildStudy) -> None:
    """Canceled work does not hold the device until its time limit."""
    with _child() as child, _once_it_infers(child, lambda _: child.interrupt()):
        _, sentence = _lost(child, study, hostile_networks.endless_loop())

    assert "nobody waits" in sentence


def test_a_device_that_is_not_there_is_named_at_once() -> None:
    """The first child says so, before any job is taken."""
    child = ModelChild(WorkerSettings(device="cuda"), _ROOMY)
    with contextlib.suppress(ImportError):
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this machine has the device")

    with pytest.raises(DeviceUnavailable):
        child.start()


def test_the_child_has_no_secret_and_few_rights(
    resident_child: ModelChild, study: ChildStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database address in its environment, no core, few descriptors, no new privileges, first to go, nicer."""
    monkeypatch.setenv("OVERREAD_DATABASE_URL", "postgresql://overread:secret@127.0.0.1/overread")
    monkeypatch.setenv("PGPASSWORD", "secret")
    with _child() as child:
        assert isinstance(child.ask(study.request()), NewResult)
        proc = Path(f"/proc/{child.process_id}")
        environment = (proc / "environ").read_bytes()
        limits = {line[:26].strip(): line[26:47].strip() for line in (proc / "limits").read_text().splitlines()}
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        nice = int((proc / "stat").read_text().rpartition(")")[2].split()[16])
        first_to_go = (proc / "oom_score_adj").read_text()

    assert b"secret" not in environment
    assert b"OVERREAD" not in environment
    assert limits["Max core file size"] == "0"
    assert limits["Max data size"] == str(_ROOMY.memory_bytes)
    assert int(limits["Max open files"]) <= 256
    assert status["NoNewPrivs"] == "1"
    assert nice > os.nice(0)
    assert first_to_go == "1000\n"


_WORKER = """
import sys, threading, time
from pathlib import Path
from inference.model_child.process import ChildLimits, ModelChild
from inference.settings import WorkerSettings
from tests.integration.inference.child_study import ChildStudy
from tests.peers.hostile_networks import endless_loop
child = ModelChild(WorkerSettings(device="cpu", threads=1), ChildLimits(2**32, 600))
child.start()
request = ChildStudy(Path(sys.argv[1])).request(endless_loop())
threading.Thread(target=child.ask, args=(request,), daemon=True).start()
while child.stage != "infer":
    time.sleep(0.02)
print(child.process_id, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_child_that_is_lost_while_it_starts_is_replaced(
    study: ChildStudy, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The worker would end with an error otherwise, and within its first seconds all other roles with it."""
    monkeypatch.setattr(running_module, "STOPPED_S", 1.0)
    child = ModelChild(_SETTINGS, _ROOMY)
    first: list[int] = []

    def lose_the_first() -> None:
        _wait_for(lambda: child.process_id is not None)
        first.append(child.process_id or 0)
        os.kill(first[0], number)

    thread = threading.Thread(target=lose_the_first)
    thread.start()
    try:
        child.start()
        thread.join(_DEADLINE_S)

        assert child.process_id not in (None, *first)
        assert isinstance(child.ask(study.request()), NewResult)
    finally:
        child.end()


def test_a_child_of_another_release_is_given_no_job(study: ChildStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update under a running worker costs jobs an attempt and a sentence; nonsense would give them up."""
    child = ModelChild(_SETTINGS, _ROOMY)
    try:
        child.start()
        process = child.process_id
        assert process is not None
        other = "import inference.model_child.child as child; child.spoken = lambda: 'other'; child.main()"
        monkeypatch.setattr(running_module, "_PROGRAM", ("-c", other))
        os.kill(process, signal.SIGKILL)

        with pytest.raises(InstallationChanged, match="changed under the running worker; restart"):
            child.ask(study.request())
        assert child.lost == 0
    finally:
        child.end()


def test_children_that_never_come_up_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Three are started, and then the worker says what to look at."""
    monkeypatch.setattr(running_module, "_PROGRAM", ("-c", "raise SystemExit(1)"))
    child = ModelChild(_SETTINGS, _ROOMY)

    with pytest.raises(ModelChildNotStarted):
        child.start()

    assert caplog.text.count("another one is started") == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_dies_with_its_worker(number: signal.Signals, tmp_path: Path) -> None:
    """However the worker ends, no process with patients' images in it stays behind.

    The child is in a network without end, where it does not notice that nobody listens any more.
    """
    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        try:
            assert _state(child) not in ("Z", "")

            worker.send_signal(number)
            worker.wait(_DEADLINE_S)

            _wait_for(lambda: _state(child) in ("Z", ""))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _state(process: int) -> str:
    """The letter of proc_pid_stat(5), empty when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
