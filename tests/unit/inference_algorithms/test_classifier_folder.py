"""A classifier's folder is checked as completely as a segmenter's, and its outputs before anything is concluded."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Engine, checked_scores
from inference.algorithms.folder import verify
from inference.algorithms.manifest import load_manifest, parse_manifest
from inference.errors import InvalidAlgorithm, InvalidOutput
from inference.settings import WorkerSettings
from tests.peers.tiny_classifier import MANIFEST, brightness_network, manifest_with, write_tiny_classifier

CPU = WorkerSettings(device="cpu", threads=1)
BATCH = np.zeros((2, 1, 32, 32), np.float32)
TUMOUR = MANIFEST["outputs"]["classes"][0]


def test_a_classifier_is_verified_and_run(tmp_path: Path) -> None:
    """The network of the tests gives the probabilities and maps that its docstring promises."""
    batch = np.stack([np.full((1, 32, 32), 0.25), np.full((1, 32, 32), 0.75)]).astype(np.float32)

    scores = Engine(verify(write_tiny_classifier(tmp_path)), CPU).score(batch)

    assert scores.probabilities == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]]))
    assert scores.maps is not None
    assert scores.maps.shape == (2, 2, 8, 8)


def test_maps_are_optional(tmp_path: Path) -> None:
    """A classifier without a saliency output gives probabilities alone."""
    folder = write_tiny_classifier(tmp_path, inference={"saliency_output": None})

    assert Engine(verify(folder), CPU).score(BATCH).maps is None


def test_a_single_image_is_enough_by_default() -> None:
    """A projection radiograph is one image; a manifest that says nothing takes it."""
    manifest = parse_manifest(MANIFEST)

    assert isinstance(manifest, ClassificationManifest)
    assert manifest.input.min_slices == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"min_slices": 0}},
        {"image": {"size": [0, 32]}},
        {"image": {"size": [32, 32, 32]}},
        {"image": {"fit": "crop"}},
        {"image": {"intensity": {"method": "zscore"}}},
        {"image": {"intensity": {"method": "none"}}},
        {"image": {"intensity": {"method": "percentile"}}},
        {"image": {"intensity": {"method": "percentile", "percentiles": [99, 1]}}},
        {"image": {"intensity": {"method": "minmax", "percentiles": [1, 99]}}},
        {"inference": {"saliency_output": "probabilities"}},
        {"inference": {"window": [8, 8, 8]}},
        {"outputs": {"classes": []}},
        {"outputs": {"classes": [TUMOUR | {"threshold": 1.0}]}},
        {"outputs": {"classes": [{key: TUMOUR[key] for key in TUMOUR if key != "threshold_origin"}]}},
        {"outputs": {"classes": [TUMOUR, TUMOUR | {"index": 1, "site": None}]}},
        {"outputs": {"classes": [TUMOUR, TUMOUR | {"index": 1, "label": "Other"}]}},
        {"outputs": {"classes": [TUMOUR, TUMOUR | {"label": "Other", "site": None}]}},
        {"preprocessing": {"target_size": [8, 8, 8]}},
    ],
)
def test_a_contradictory_manifest_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Keys of the other task, values that contradict each other and classes that look alike are named."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(manifest_with(**changes)))

    with pytest.raises(InvalidAlgorithm) as refusal:
        load_manifest(tmp_path)

    assert next(iter(changes)) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("task", ["regression", 3, None, ["classification"]])
def test_an_unknown_task_is_refused(tmp_path: Path, task: object) -> None:
    """The sentence says which tasks there are."""
    (tmp_path / "algorithm.yaml").write_text(yaml.safe_dump(MANIFEST | {"task": task}))

    with pytest.raises(InvalidAlgorithm, match="task is segmentation, classification or detection"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": {"size": [64, 32]}}, "fixed input size"),
        ({"inference": {"input": "x"}}, "inference.input"),
        ({"inference": {"output": "scores"}}, "inference.output"),
        ({"inference": {"saliency_output": "cam"}}, "inference.saliency_output"),
        ({"inference": {"output": "maps", "saliency_output": None}}, "batch, classes"),
        ({"inference": {"output": "maps", "saliency_output": "probabilities"}}, "batch, classes"),
        ({"outputs": {"classes": [TUMOUR | {"index": 2}]}}, "names a position"),
    ],
)
def test_a_network_that_is_not_the_described_one_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """Other names, ranks, sizes and classes than the manifest's are refused, with the key to correct."""
    with pytest.raises(InvalidAlgorithm, match=told):
        verify(write_tiny_classifier(tmp_path, **changes))


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    """The last batch of a series is rarely full, so a network that takes only full ones would fail then."""
    model = onnx.load_model_from_string(brightness_network())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4

    with pytest.raises(InvalidAlgorithm, match="open batch"):
        verify(write_tiny_classifier(tmp_path, model.SerializeToString()))


def test_maps_larger_than_the_image_are_refused(tmp_path: Path) -> None:
    """They tell no more than smaller ones, and a network could give some of any size."""
    model = onnx.load_model_from_string(brightness_network())
    concat, means = (
        next(node for node in model.graph.node if node.op_type == kind) for kind in ("Concat", "ReduceMean")
    )
    concat.output[0] = means.input[0] = "small"
    model.graph.node.append(onnx.helper.make_node("Tile", ["small", "times"], ["maps"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 5, 1]), "times"))
    model.graph.output[1].type.tensor_type.shape.dim[2].dim_value = 40

    with pytest.raises(InvalidAlgorithm, match="saliency maps are larger than its input"):
        verify(write_tiny_classifier(tmp_path, model.SerializeToString()))


@pytest.mark.parametrize(("operator", "value"), [("Log", 1.0), ("Log", 0.0), ("Neg", 0.5), ("Exp", 0.5)], ids=str)
def test_what_is_no_probability_is_no_result(tmp_path: Path, operator: str, value: float) -> None:
    """NaN, infinity, logits and negative numbers raise InvalidOutput; they are never taken for 'absent'."""
    engine = Engine(verify(write_tiny_classifier(tmp_path, brightness_network(operator))), CPU)

    with pytest.raises(InvalidOutput):
        engine.score(np.full((1, 1, 32, 32), value, np.float32))


@pytest.mark.parametrize(
    ("probabilities", "maps"),
    [
        (np.zeros((1, 2)), None),
        (np.zeros((2, 2, 1)), None),
        (np.zeros((2, 2)), np.zeros((2, 1, 8, 8))),
        (np.zeros((2, 2)), np.zeros((1, 2, 8, 8))),
        (np.zeros((2, 2)), np.zeros((2, 2, 8))),
        (np.zeros((2, 2)), np.zeros((2, 2, 0, 8))),
        (np.zeros((2, 2)), np.zeros((2, 2, 8, 33))),
        (np.zeros((2, 2)), np.full((2, 2, 8, 8), np.nan)),
        (np.full((2, 2), np.nan), None),
        (np.full((2, 2), 1.01), None),
    ],
)
def test_outputs_that_do_not_fit_the_batch_are_no_result(probabilities: np.ndarray, maps: np.ndarray | None) -> None:
    """Two images give two lines of probabilities and, if any, two maps per class, all of them numbers."""
    with pytest.raises(InvalidOutput):
        checked_scores(BATCH, probabilities, maps)
