"""What is exported computes what was trained, from the pixels of an image to probability and map."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.imaging.plane import prepare_plane
from inference.settings import WorkerSettings
from training.datasets.images import decoded
from training.errors import ExportDiffers, InvalidRun
from training.export.onnx_file import EVIDENCE, PROBABILITY, checked_parity, onnx_bytes
from training.learning.run_folder import load_run
from training.main import evaluate, export

CPU = WorkerSettings(device="cpu", threads=1)


def test_serving_gives_the_probabilities_that_were_evaluated(run: Path, exported: Path) -> None:
    """Decoded by hand, prepared and scored by the worker's code, each image gets the probability of the table."""
    algorithm = verify(exported)
    assert isinstance(algorithm.manifest, ClassificationManifest)
    engine = Engine(algorithm, CPU)
    predictions = pd.read_csv(run / "evaluation" / "predictions.csv")
    folder = load_run(run).settings.dataset

    for row in predictions.itertuples():
        plane = prepare_plane(decoded((folder / row.file).read_bytes(), row.file), algorithm.manifest.image)
        served = engine.score(plane[np.newaxis, np.newaxis])
        assert served.probabilities[0, 0] == pytest.approx(row.probability, abs=1e-5)
        assert (served.probabilities[0, 0] >= algorithm.manifest.outputs.classes[0].threshold) == row.called


def test_what_stands_where_an_export_would_go_is_kept(run: Path, exported: Path, tmp_path: Path) -> None:
    """A second export throws away neither an edited card nor an acceptance set; it is refused."""
    folder = shutil.copytree(exported, tmp_path / "algorithm")
    (folder / "card.md").write_text("mine")
    (folder / "acceptance").mkdir()

    with pytest.raises(InvalidRun, match="is not empty, and what is yours in it would be lost"):
        export(run, folder)

    assert (folder / "card.md").read_text() == "mine"
    assert (folder / "acceptance").is_dir()


def test_the_map_is_the_decision(exported: Path) -> None:
    """The mean of the map is the logit of the probability: what the picture shows is what decided."""
    engine = Engine(verify(exported), CPU)

    scores = engine.score(np.random.default_rng(0).random((5, 1, 32, 32)).astype(np.float32))

    assert scores.maps is not None
    logit = scores.maps.mean(axis=(2, 3))
    np.testing.assert_allclose(scores.probabilities, 1 / (1 + np.exp(-logit)), atol=1e-5)
    assert scores.maps.shape[2:] == (8, 8)


def test_the_file_is_standard_and_forgets_the_machine(exported: Path) -> None:
    """Only operators of the ONNX standard, any batch, and no path or source line of who exported it."""
    content = (exported / "model.onnx").read_bytes()
    model = onnx.load_model_from_string(content)

    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert len(model.functions) == 0
    assert [end.name for end in model.graph.output] == [PROBABILITY, EVIDENCE]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[3]).encode() not in content
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_another_network_is_not_exported(run: Path) -> None:
    """If the file computes something else than what was trained, nothing is written."""
    network, other = load_run(run).network, load_run(run).network
    planes = np.random.default_rng(1).random((3, 32, 32)).astype(np.float32)
    model = onnx_bytes(network, (32, 32))
    assert max(checked_parity(network, model, planes).values()) < 1e-5

    other.evidence.bias.data += 0.01

    with pytest.raises(ExportDiffers, match="nothing was written"):
        checked_parity(other, model, planes)


def test_the_card_says_what_the_figures_cannot_mean(run: Path, exported: Path) -> None:
    """It has the sections of the template, the measured figures, the licence of the data and the caveats."""
    card = (exported / "card.md").read_text()
    template = (Path(__file__).parents[3] / "docs" / "model-card-template.md").read_text()

    sections = [line for line in template.splitlines() if line.startswith("## ")]
    assert [line for line in card.splitlines() if line.startswith("## ")] == sections
    estimate = evaluate(run).test.by_group["auroc"]
    assert f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})" in card
    for words in ("Not a medical device", "Patients are unknown", "upper bound", "different sources", "no DICOM"):
        assert words in card
    assert str(run) not in card


def test_a_run_that_was_not_evaluated_is_not_exported(run: Path, tmp_path: Path) -> None:
    """A threshold without an evaluation would come from nowhere; so would one of other weights."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    weights = (copy / "weights.pt").read_bytes()
    (copy / "weights.pt").write_bytes(weights + b"\0")
    with pytest.raises(InvalidRun, match="other weights"):
        export(copy, tmp_path / "algorithm")

    shutil.rmtree(copy / "evaluation")
    with pytest.raises(InvalidRun, match="overread evaluate"):
        export(copy, tmp_path / "algorithm")
    assert not (tmp_path / "algorithm").exists()


def test_a_folder_with_other_things_is_left_alone(run: Path, tmp_path: Path) -> None:
    """Only an algorithm's folder is replaced by an export."""
    (tmp_path / "thesis.txt").write_text("two years of work")

    with pytest.raises(InvalidRun, match="not empty"):
        export(run, tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "two years of work"
