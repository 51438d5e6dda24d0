"""A device without memory left: smaller batches first, then a failure with a name; never quietly another device."""

import subprocess
import sys
from typing import get_args

import numpy as np
import onnxruntime
import pytest

from inference.algorithms.providers import CPU, CUDA
from inference.algorithms.session import Placement, Session
from inference.errors import DeviceFull, DeviceUnavailable, InvalidAlgorithm, OutOfMemory
from inference.settings import WorkerSettings
from tests.peers.full_device import ARENA, CUBLAS, CUDA_MALLOC, NO_DRIVER, FullDevice, offered
from tests.peers.tiny_algorithm import bright_network

_BATCH = np.linspace(0, 200, 7 * 8, dtype=np.float32).reshape(7, 1, 2, 2, 2)


def _session(monkeypatch: pytest.MonkeyPatch, device: FullDevice, name: str = "cuda", model: bytes = b"") -> Session:
    monkeypatch.setattr(onnxruntime, "get_available_providers", offered)
    monkeypatch.setattr(onnxruntime, "InferenceSession", device)
    return Session(model or bright_network(), Placement(name, 1), "The tiny one")


def test_a_batch_that_does_not_fit_is_given_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs are those of the whole batch, in its order, and the next batch is not tried whole again."""
    whole = Session(bright_network(), Placement("cpu", 1), "tiny").run("x", _BATCH, ["y"])
    device = FullDevice(fits=2)
    session = _session(monkeypatch, device)

    (first,) = session.run("x", _BATCH, ["y"])
    (second,) = session.run("x", _BATCH[:3], ["y"])

    np.testing.assert_array_equal(first, whole[0])
    np.testing.assert_array_equal(second, whole[0][:3])
    assert session.provider == CUDA
    assert device.asked == [7, 4, 2, 2, 2, 1, 2, 1]


@pytest.mark.parametrize("words", [ARENA, CUDA_MALLOC, CUBLAS])
def test_a_batch_of_one_that_does_not_fit_is_told_as_a_full_device(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Not as a lack of main memory, which more main memory would mend, nor as a fault of the network."""
    device = FullDevice(words=words)
    session = _session(monkeypatch, device)

    with pytest.raises(DeviceFull, match=f"more memory than {CUDA} has left.*when_device_full"):
        session.run("x", _BATCH, ["y"])

    assert device.asked == [7, 4, 2, 1]


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize("words", [ARENA, CUDA_MALLOC, CUBLAS])
def test_a_network_that_does_not_fit_is_not_moved_quietly(
    monkeypatch: pytest.MonkeyPatch, words: str, name: str
) -> None:
    """Whether the CPU computes it instead is the setting's to say, not the runtime's."""
    with pytest.raises(DeviceFull, match="cannot be loaded"):
        _session(monkeypatch, FullDevice(loads=words), name)


def test_a_driver_that_does_not_work_is_no_fault_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """With auto the CPU takes its place and is named; a device that is demanded is missed; a bad network is bad."""
    broken = FullDevice(loads=NO_DRIVER)

    assert _session(monkeypatch, broken, "auto").provider == CPU
    with pytest.raises(DeviceUnavailable):
        _session(monkeypatch, broken, "cuda")
    with pytest.raises(InvalidAlgorithm):
        _session(monkeypatch, broken, "auto", b"no network")


def test_main_memory_that_is_spent_is_not_the_device_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed allocation of C++ is of this machine, whatever the provider."""
    with pytest.raises(OutOfMemory, match="memory_gib"):
        _session(monkeypatch, FullDevice(words="std::bad_alloc")).run("x", _BATCH, ["y"])


def test_waiting_is_the_usual_policy() -> None:
    """The literal words of the setting, of which a site that says nothing has the one that changes no result."""
    assert WorkerSettings().when_device_full == "wait"
    assert set(get_args(WorkerSettings.model_fields["when_device_full"].annotation)) == {"wait", "cpu", "fail"}


_LIMITED = """
import resource
import numpy as np
import onnxruntime
from onnx import helper, numpy_helper
from pathlib import Path
from inference.algorithms.session import Placement, Session
from tests.peers.tiny_algorithm import network
extent = numpy_helper.from_array(np.array([1, 1, 1, 1, 2**24], np.int64), "extent")  # 64 MiB for each of the batch
nodes = [
    helper.make_node("Expand", ["x", "extent"], ["wide"]),
    helper.make_node("ReduceMean", ["wide"], ["mean"], axes=[4], keepdims=1),
    helper.make_node("Add", ["x", "mean"], ["y"]),
]
session = Session(network(nodes, [extent]), Placement("cpu", 1), "tiny")
held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
most = int(held.split()[1]) * 1024 + 300 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
batch = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1, 1)
(output,) = session.run("x", batch, ["y"])
print(np.array_equal(output, batch * 2), session.provider, session._most < 8)
"""


def test_the_runtime_itself_recovers_on_smaller_batches() -> None:
    """No words of ours: eight images need 512 MiB, the kernel gives 300, and all eight are computed on the CPU."""
    told = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=True).stdout

    assert told.split() == ["True", CPU, "True"]
