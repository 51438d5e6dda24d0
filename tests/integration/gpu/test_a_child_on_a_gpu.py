"""The process that runs models, with a real GPU of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inference.errors import DeviceFull
from inference.model_child.process import ChildLimits, ModelChild
from inference.settings import WorkerSettings
from storage.domain.result import NewResult
from tests.integration.inference.child_study import ChildStudy
from tests.peers.convolving_network import convolving_network
from tests.peers.gpu_memory import all_taken_but, free_bytes

_LIMITS = ChildLimits(8 * 2**30, 120)
_SLACK = 2**27  # bytes of the GPU that its driver takes and gives back as it likes
_DEADLINE_S = 30.0


@pytest.fixture
def study(tmp_path: Path) -> ChildStudy:
    """A study on disk."""
    return ChildStudy(tmp_path)


@contextmanager
def _child(device: str = "cuda", policy: str = "wait") -> Iterator[ModelChild]:
    child = ModelChild(WorkerSettings(device=device, threads=2, when_device_full=policy), _LIMITS)
    try:
        yield child
    finally:
        child.end()


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the awaited state did not come"
        threading.Event().wait(0.05)


def test_a_result_names_the_gpu(study: ChildStudy) -> None:
    """The child has no loader's path of ours, finds CUDA in the packages, and says what really ran."""
    with _child() as child:
        result = child.ask(study.request())

    assert isinstance(result, NewResult)
    assert result.execution_provider == "CUDAExecutionProvider"


def test_the_gpu_and_the_cpu_find_the_same(study: ChildStudy) -> None:
    """What is found, and each object that tells it, has the same words on either device but for the device's name."""
    with _child() as child, _child("cpu") as other:
        on_gpu, on_cpu = child.ask(study.request()), other.ask(study.request())

    assert isinstance(on_gpu, NewResult)
    assert isinstance(on_cpu, NewResult)
    assert on_gpu.findings == on_cpu.findings
    assert [(one.role, one.form) for one in on_gpu.evidence] == [(one.role, one.form) for one in on_cpu.evidence]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGABRT])
def test_a_child_that_dies_leaves_its_gpu_to_the_next(study: ChildStudy, how: signal.Signals) -> None:
    """The driver takes back what it held, and the next job finds a fresh child on the same GPU."""
    before = free_bytes()
    with _child() as child:
        assert isinstance(child.ask(study.request(convolving_network(), "convolving")), NewResult)
        process = child.process_id
        assert process is not None
        assert free_bytes() < before - _SLACK
        os.kill(process, how)
        _wait_for(lambda: free_bytes() > before - _SLACK)

        result = child.ask(study.request())
        assert isinstance(result, NewResult)
        assert result.execution_provider == "CUDAExecutionProvider"
    _wait_for(lambda: free_bytes() > before - _SLACK)


@pytest.mark.parametrize(("policy", "waits"), [("wait", True), ("fail", False)])
def test_a_full_gpu_is_no_fault_of_the_job(study: ChildStudy, policy: str, waits: bool) -> None:
    """The job learns that the device is full and whether it may wait, whatever the driver cannot even begin with."""
    with all_taken_but(2**26), _child(policy=policy) as child, pytest.raises(DeviceFull) as caught:
        child.ask(study.request())

    assert caught.value.may_wait is waits


def test_the_cpu_takes_over_where_it_may(study: ChildStudy) -> None:
    """The result names the CPU."""
    with all_taken_but(2**26), _child(policy="cpu") as child:
        result = child.ask(study.request())

    assert isinstance(result, NewResult)
    assert result.execution_provider == "CPUExecutionProvider"


def test_two_children_share_one_gpu(study: ChildStudy) -> None:
    """Each has a context of its own; the end of one does not disturb the other."""
    with _child() as one, _child("cuda:0") as other:
        assert isinstance(one.ask(study.request()), NewResult)
        assert isinstance(other.ask(study.request()), NewResult)
        assert one.process_id is not None
        os.kill(one.process_id, signal.SIGKILL)
        assert isinstance(other.ask(study.request()), NewResult)
        assert other.lost == 0


def test_a_gpu_that_is_hidden_is_not_there(study: ChildStudy) -> None:
    """With device cuda a machine without a GPU says so; with auto the CPU does the work and the result says so."""
    code = (
        "from inference.algorithms.session import *\n"
        "from tests.peers.convolving_network import convolving_network\n"
        "print(Session(convolving_network(), Placement('auto', 2), 't').provider)\n"
        "try: Session(convolving_network(), Placement('cuda', 2), 't')\n"
        "except DeviceUnavailable: print('unavailable')\n"
    )
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=hidden, stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout.split() == ["CPUExecutionProvider", "unavailable"]
