"""Running a network: outputs that are no result, devices, and volumes predicted window by window."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from inference.algorithms.engine import CPU, CUDA, Engine, wanted_providers
from inference.algorithms.folder import verify
from inference.algorithms.segmentation_manifest import Inference
from inference.algorithms.sliding_window import gaussian_weight, predict_volume, sliding_window
from inference.errors import DeviceUnavailable, InvalidOutput, PredictionFailed, UnusableInput, VaryingOutput
from inference.settings import WorkerSettings
from tests.peers.hostile_networks import varying_in_size
from tests.peers.tiny_algorithm import bright_network, network, write_tiny_algorithm

SETTINGS = WorkerSettings(device="cpu", threads=1)
RANDOM = np.random.default_rng(7)


class _Smoothing:
    """A network that looks around: the mean of the whole window, so that windows disagree."""

    def predict(self, batch: np.ndarray) -> np.ndarray:
        return np.broadcast_to(batch.mean((2, 3, 4), keepdims=True), batch.shape).astype(np.float32)


def _engine(folder: Path, model: bytes | None = None) -> Engine:
    return Engine(verify(write_tiny_algorithm(folder, model)), SETTINGS)


def test_the_provider_that_really_ran_is_reported(tmp_path: Path) -> None:
    """A session asked for the CPU says so."""
    assert _engine(tmp_path).provider == CPU


def test_a_gpu_is_taken_where_offered_and_missed_where_demanded() -> None:
    """auto falls back to the CPU; cuda refuses to."""
    assert wanted_providers("auto", [CUDA, CPU]) == [CUDA, CPU]
    assert wanted_providers("auto", [CPU]) == [CPU]
    assert wanted_providers("cpu", [CUDA, CPU]) == [CPU]
    with pytest.raises(DeviceUnavailable):
        wanted_providers("cuda", [CPU])


@pytest.mark.parametrize(("operator", "value"), [("Log", -1.0), ("Log", 0.0), ("Exp", 1000.0)])
def test_an_output_that_is_not_finite_is_no_result(tmp_path: Path, operator: str, value: float) -> None:
    """NaN and infinity raise InvalidOutput; they are never taken for 'nothing found'."""
    engine = _engine(tmp_path, bright_network(0.0, operator))

    with pytest.raises(InvalidOutput):
        engine.predict(np.full((1, 1, 2, 2, 2), value, np.float32))


def test_an_output_whose_size_depends_on_values_has_a_name(tmp_path: Path) -> None:
    """It fits once, and not for the next image of the same size: the network is told to be the reason, no device."""
    engine = _engine(tmp_path, varying_in_size())
    image = np.ones((1, 1, 4, 3, 2), np.float32)
    engine.predict(image)
    image[0, 0, 1] = 0

    with pytest.raises(VaryingOutput):
        engine.predict(image)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [(b"encoder/conv_1", "(RuntimeError at the Reshape node encoder/conv_1)"), (b"evil\x1b[31m", "(RuntimeError)")],
)
def test_the_node_that_failed_is_named_where_its_name_is_one(tmp_path: Path, nodes: bytes, told: str) -> None:
    """Whoever exported the network finds the place; what a stranger wrote instead of a name is not repeated."""
    shape = numpy_helper.from_array(np.array([1, 1, 7, 7, 7]), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name=nodes.decode())
    engine = _engine(tmp_path, network([node], [shape]))

    with pytest.raises(PredictionFailed) as caught:
        engine.predict(np.ones((1, 1, 4, 3, 2), np.float32))

    assert told in str(caught.value)


def test_an_output_of_another_size_is_no_result(tmp_path: Path) -> None:
    """A network that shrinks the volume gives no value per voxel."""
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    engine = _engine(tmp_path, network([pool], []))

    with pytest.raises(InvalidOutput, match="does not cover"):
        engine.predict(np.zeros((1, 1, 4, 4, 4), np.float32))


def test_a_failure_of_the_runtime_has_a_name(tmp_path: Path) -> None:
    """What ONNX Runtime raises becomes PredictionFailed."""
    with pytest.raises(PredictionFailed, match="rejects what the network is given"):
        _engine(tmp_path).predict(np.zeros((1, 1, 4), np.float32))


@pytest.mark.parametrize(
    ("operator", "shape", "told"),
    [
        ("Expand", (10**4,) * 3, "more memory than it may have"),
        ("Expand", (10**7,) * 3, "check the exported network"),
        ("Reshape", (3, 3, 3), "check the exported network"),
    ],
)
def test_a_failure_of_the_runtime_is_told_by_its_kind(
    tmp_path: Path, operator: str, shape: tuple[int, ...], told: str
) -> None:
    """Who reads the sentence looks at the memory only when memory is what was missing."""
    wanted = numpy_helper.from_array(np.array([1, 1, *shape], np.int64), "shape")
    engine = _engine(tmp_path, network([helper.make_node(operator, ["x", "shape"], ["y"])], [wanted]))

    with pytest.raises(PredictionFailed, match=told):
        engine.predict(np.zeros((1, 1, 1, 1, 1), np.float32))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("batch", [1, 3])
def test_windows_equal_the_whole_for_a_pointwise_network(tmp_path: Path, overlap: float, batch: int) -> None:
    """When a voxel's value depends on that voxel only, windows and their blending change nothing."""
    engine = _engine(tmp_path, bright_network(0.0))
    volume = RANDOM.normal(size=(9, 7, 5)).astype(np.float32)
    whole = predict_volume(engine, volume, Inference(input="x", output="y"))

    windows = sliding_window(engine, volume, (4, 3, 2), overlap, batch)

    assert windows.shape == whole.shape == (1, 9, 7, 5)
    assert windows == pytest.approx(whole, abs=1e-6)


def test_blending_equals_the_weighted_mean_of_all_windows() -> None:
    """Voxel by voxel, the result is the Gaussian-weighted mean of the windows that cover it."""
    volume = RANDOM.normal(size=(6, 5, 4)).astype(np.float32)
    window, weight = (4, 4, 4), gaussian_weight((4, 4, 4))
    total, sums = np.zeros(volume.shape), np.zeros(volume.shape)
    for i in (0, 2):
        for j in (0, 1):
            place = np.s_[i : i + 4, j : j + 4, 0:4]
            sums[place] += weight * volume[place].mean()
            total[place] += weight

    blended = sliding_window(_Smoothing(), volume, window, 0.5, 2)

    assert blended[0] == pytest.approx(sums / total, abs=1e-5)


def test_a_volume_smaller_than_the_window_keeps_its_shape(tmp_path: Path) -> None:
    """It is extended for the network and cut back afterwards."""
    engine = _engine(tmp_path, bright_network(0.0))
    volume = RANDOM.normal(size=(3, 9, 2)).astype(np.float32)

    windows = sliding_window(engine, volume, (8, 8, 8), 0.5, 1)

    assert windows[0] == pytest.approx(1 / (1 + np.exp(-volume)), abs=1e-6)


def test_what_is_no_number_is_given_to_no_network(tmp_path: Path) -> None:
    """Of NaN a network can make a finding, or none."""
    batch = np.ones((1, 1, 4, 4, 4), np.float32)
    batch[0, 0, 1, 2, 3] = np.nan

    with pytest.raises(UnusableInput) as refused:
        _engine(tmp_path).predict(batch)

    assert refused.value.reason.code == "not-finite"
