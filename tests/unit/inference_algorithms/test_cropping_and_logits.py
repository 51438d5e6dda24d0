"""Networks whose output lacks a margin, and networks that give logits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.algorithms.activation import activate
from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.algorithms.golden import write_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.segmentation_manifest import Inference, SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.algorithms.trial import try_out
from inference.errors import InvalidAlgorithm, InvalidOutput
from inference.settings import WorkerSettings
from tests.peers.tiny_algorithm import network, write_tiny_algorithm

RANDOM = np.random.default_rng(11)
SETTINGS = WorkerSettings(device="cpu", threads=1)


def _summing() -> bytes:
    """A network without padding: each output voxel is the sum of the 3 x 1 x 3 voxels around its place."""
    kernel = numpy_helper.from_array(np.ones((1, 1, 3, 1, 3), np.float32), "w")
    return network([helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 1, 3])], [kernel])


def _sums(volume: np.ndarray) -> np.ndarray:
    """The same by hand, as large as what it is given; beyond the edge the edge's value goes on."""
    padded = np.pad(volume.astype(np.float64), [(1, 1), (0, 0), (1, 1)], mode="edge")
    rows, columns = volume.shape[0], volume.shape[2]
    return sum(padded[i : i + rows, :, k : k + columns] for i in range(3) for k in range(3))


def _prepared(folder: Path, model: bytes, **inference: object) -> tuple[Engine, Inference]:
    verified = verify(write_tiny_algorithm(folder, model, inference={"input": "x", "output": "y", **inference}))
    assert isinstance(verified.manifest, SegmentationManifest)
    return Engine(verified, SETTINGS), verified.manifest.inference


def test_the_margin_that_a_whole_volume_s_output_lacks_is_background(tmp_path: Path) -> None:
    """Inside stands what the network gives, at its place; outside stands 0."""
    engine, inference = _prepared(tmp_path, _summing(), output_margin=[1, 0, 1])
    volume = RANDOM.uniform(0.01, 0.1, size=(7, 4, 6)).astype(np.float32)

    predicted = predict_volume(engine, volume, inference)

    assert predicted.shape == (1, 7, 4, 6)
    assert predicted[0, 1:-1, :, 1:-1] == pytest.approx(_sums(volume)[1:-1, :, 1:-1], rel=1e-5)
    predicted[0, 1:-1, :, 1:-1] = 0
    assert not predicted.any()


def test_the_margin_is_background_where_logits_of_0_are_one_half(tmp_path: Path) -> None:
    """The activation does not touch the margin: a sigmoid would make probabilities of 0.5 of it."""
    engine, inference = _prepared(tmp_path, _summing(), output_margin=[1, 0, 1], activation="sigmoid")

    predicted = predict_volume(engine, np.ones((5, 3, 5), np.float32), inference)

    assert not predicted[0, 0].any()
    assert predicted[0, 1:-1, :, 1:-1] == pytest.approx(1 / (1 + np.exp(-9.0)), abs=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(9, 5, 7), (2, 3, 2)])
def test_windows_with_a_margin_cover_every_voxel(
    tmp_path: Path, shape: tuple[int, int, int], overlap: float, batch: int
) -> None:
    """The volume is extended by its edge values, also a volume that is smaller than a window."""
    windows = {"mode": "sliding_window", "window": [5, 3, 5], "overlap": overlap, "batch": batch}
    engine, inference = _prepared(tmp_path, _summing(), output_margin=[1, 0, 1], **windows)
    volume = RANDOM.uniform(0, 0.1, size=shape).astype(np.float32)

    predicted = predict_volume(engine, volume, inference)

    assert predicted.shape == (1, *shape)
    assert predicted[0] == pytest.approx(_sums(volume), abs=1e-6)


@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [5, 3, 5]}])
def test_another_margin_than_the_manifest_s_is_no_result(tmp_path: Path, mode: dict[str, object]) -> None:
    """A margin is stated, never guessed from the output's size."""
    engine, inference = _prepared(tmp_path, _summing(), output_margin=[1, 1, 1], **mode)

    with pytest.raises(InvalidOutput, match="does not cover"):
        predict_volume(engine, np.zeros((5, 5, 5), np.float32), inference)


def test_a_fixed_output_is_compared_with_the_margin_before_anything_runs(tmp_path: Path) -> None:
    """`overread algorithms add` refuses a network whose stated output is not the stated input without the margin."""
    kernel = numpy_helper.from_array(np.ones((1, 1, 3, 1, 3), np.float32), "w")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 1, 8, 8, 8]), ("y", [1, 1, 6, 8, 6]))
    ]
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 1, 3])
    graph = helper.make_graph([node], "cropping", ends[:1], ends[1:], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    size = {"target_size": [8, 8, 8]}

    right = {"input": "x", "output": "y", "output_margin": [1, 0, 1]}
    verify(write_tiny_algorithm(tmp_path / "right", model, inference=right, preprocessing=size))
    with pytest.raises(InvalidAlgorithm, match="output_margin"):
        verify(write_tiny_algorithm(tmp_path / "wrong", model, preprocessing=size))


@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [4, 3, 2]}])
def test_logits_become_probabilities(tmp_path: Path, mode: dict[str, object]) -> None:
    """sigmoid: each value by itself; a network that passes its input on gives logits that are known."""
    engine, inference = _prepared(
        tmp_path, network([helper.make_node("Identity", ["x"], ["y"])], []), activation="sigmoid", **mode
    )
    volume = RANDOM.normal(scale=20, size=(6, 5, 4)).astype(np.float32)

    predicted = predict_volume(engine, volume, inference)

    assert predicted[0] == pytest.approx(1 / (1 + np.exp(-volume.astype(np.float64))), abs=1e-5)


@pytest.mark.parametrize("scale", [20, -20])
@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [4, 3, 2]}])
def test_logits_without_an_activation_are_no_result(tmp_path: Path, mode: dict[str, object], scale: int) -> None:
    """A forgotten activation is told, for each job and before the algorithm is added, and no mask is made of logits."""
    identity = network([helper.make_node("Identity", ["x"], ["y"])], [])
    engine, inference = _prepared(tmp_path, identity, **mode)
    volume = scale * RANDOM.uniform(0, 1, size=(6, 5, 4)).astype(np.float32)

    with pytest.raises(
        InvalidOutput, match=r"not in 0 to 1; does the network end in logits\? Set inference.activation"
    ):
        predict_volume(engine, volume, inference)
    write_golden(tmp_path, GoldenVolume(volume, volume[np.newaxis]))
    with pytest.raises(InvalidAlgorithm, match="does the network end in logits"):
        try_out(tmp_path)


@pytest.mark.parametrize(("value", "left"), [(1.0005, 1.0), (-0.0005, 0.0)])
def test_what_rounding_leaves_beyond_0_and_1_is_cut_off(tmp_path: Path, value: float, left: float) -> None:
    """Networks that compute in 16 bits round beyond 1; that is no logit."""
    identity = network([helper.make_node("Identity", ["x"], ["y"])], [])
    engine, inference = _prepared(tmp_path, identity)

    assert (predict_volume(engine, np.full((3, 3, 3), value, np.float32), inference) == left).all()


def test_softmax_takes_the_channels_of_a_voxel_together(tmp_path: Path) -> None:
    """Logits of x and 2x on two channels: the probabilities add up to one and are those of the formula."""
    double = numpy_helper.from_array(np.array([1, 2], np.float32).reshape(1, 2, 1, 1, 1), "w")
    model = onnx.load_model_from_string(network([helper.make_node("Mul", ["x", "w"], ["y"])], [double]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    engine, inference = _prepared(tmp_path, model.SerializeToString(), activation="softmax")
    volume = RANDOM.normal(scale=3, size=(3, 4, 5)).astype(np.float32)

    predicted = predict_volume(engine, volume, inference)

    assert predicted[1] == pytest.approx(1 / (1 + np.exp(-volume.astype(np.float64))), abs=1e-5)
    assert predicted.sum(0) == pytest.approx(np.ones(volume.shape), abs=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_very_large_logits_stay_probabilities(activation: str) -> None:
    """Nothing overflows into NaN: the probabilities are 0 and 1."""
    logits = np.array([-1e30, 1e30], np.float32).reshape(2, 1, 1, 1)

    assert activate(logits, activation).ravel().tolist() == pytest.approx([0, 1], abs=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"output_margin": [-1, 0, 0]},
        {"mode": "sliding_window", "window": [4, 4, 4], "output_margin": [2, 0, 0]},
        {"activation": "tanh"},
    ],
)
def test_a_margin_or_activation_that_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    """The manifest says so when it is read."""
    with pytest.raises(InvalidAlgorithm, match="inference"):
        verify(write_tiny_algorithm(tmp_path, inference={"input": "x", "output": "y", **wrong}))
