"""Fault F30 on a real GPU, whose memory is taken by somebody else."""

import numpy as np
import pytest

from inference.algorithms.session import Placement, Session
from inference.errors import DeviceFull
from tests.peers.convolving_network import CHANNELS, convolving_network
from tests.peers.gpu_memory import all_taken_but

_WINDOW = (96, 96, 96)
_LAYER = CHANNELS * 96**3 * 4  # bytes of one layer of one window
_CUDA = Placement("cuda", 4)


def _batch(size: int) -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1, (size, 1, *_WINDOW)).astype(np.float32)


def test_a_batch_that_does_not_fit_is_given_in_parts() -> None:
    """Where a GPU has room for a window or two, eight of them are predicted all the same, and come out the same."""
    batch = _batch(8)
    (expected,) = Session(convolving_network(), _CUDA, "convolving").run("x", batch, ["y"])
    session = Session(convolving_network(), _CUDA, "convolving")
    session.run("x", batch[:1], ["y"])

    with all_taken_but(6 * _LAYER):
        (found,) = session.run("x", batch, ["y"])

    assert session._most in (1, 2, 4)
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_a_gpu_without_room_for_one_window_is_full() -> None:
    """It is the device that is full, not the network that is wrong, and a later run finds the room again."""
    session = Session(convolving_network(), _CUDA, "convolving")

    with all_taken_but(_LAYER // 4), pytest.raises(DeviceFull, match="CUDAExecutionProvider"):
        session.run("x", _batch(1), ["y"])

    fresh = Session(convolving_network(), _CUDA, "convolving")
    assert fresh.run("x", _batch(1), ["y"])[0].shape == (1, 1, *_WINDOW)


def test_a_network_that_cannot_be_loaded_finds_the_gpu_full() -> None:
    """Its weights alone are larger than what is left."""
    from onnx import helper, numpy_helper

    from tests.peers.tiny_algorithm import network

    weights = numpy_helper.from_array(np.ones((64, 1024, 1024), np.float32), "weights")
    nodes = [
        helper.make_node("ReduceMean", ["weights"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["x", "mean"], ["y"]),
    ]
    model = network(nodes, [weights])

    with all_taken_but(2**26), pytest.raises(DeviceFull):
        Session(model, _CUDA, "large").run("x", _batch(1), ["y"])
