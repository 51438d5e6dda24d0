"""Networks on a real NVIDIA GPU, beside the same ones on the CPU."""

import numpy as np
import pytest

from inference.algorithms.providers import CPU, CUDA
from inference.algorithms.session import Placement, Session
from inference.algorithms.tensor import Tensor
from inference.errors import DeviceUnavailable
from tests.peers.convolving_network import convolving_network


@pytest.fixture(scope="module")
def batch() -> Tensor:
    """Two windows."""
    return np.random.default_rng(1).normal(0, 1, (2, 1, 64, 48, 40)).astype(np.float32)


def _output(device: str, batch: Tensor, model: bytes | None = None, precision: str = "float32") -> Tensor:
    session = Session(convolving_network() if model is None else model, Placement(device, 4, precision), "convolving")
    assert session.provider == (CPU if device == "cpu" else CUDA)
    (output,) = session.run("x", batch, ["y"])
    return output


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "auto"])
def test_the_gpu_computes_what_the_cpu_computes(device: str, batch: Tensor) -> None:
    """In float32, without TensorFloat-32: the last bits differ, as sums are taken in another order, and no more."""
    expected = _output("cpu", batch)
    found = _output(device, batch)

    assert np.ptp(expected) > 0.2
    assert not np.array_equal(found, np.zeros_like(found))
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_a_gpu_gives_the_same_bytes_again(batch: Tensor) -> None:
    """The same job has the same result, also of a session that is built anew."""
    first, again = _output("cuda", batch), _output("cuda", batch)

    assert first.tobytes() == again.tobytes()


def test_half_precision_stays_near(batch: Tensor) -> None:
    """A network of float16 runs on the GPU; 10 bits of each number are kept."""
    model = convolving_network(np.float16)

    np.testing.assert_allclose(_output("cuda", batch, model, "float16"), _output("cpu", batch), atol=5e-3)


@pytest.mark.parametrize("device", ["cuda:7", "tensorrt:7"])
def test_a_gpu_that_is_not_there_is_named(device: str, batch: Tensor) -> None:
    """The number of a GPU that the machine does not have is no reason to take another device."""
    with pytest.raises(DeviceUnavailable):
        Session(convolving_network(), Placement(device, 4), "convolving")
