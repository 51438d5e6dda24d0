"""The golden pair of a published segmentation: a drawing, what the original makes of it, and something to compare."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from inference.algorithms.golden import read_golden, write_golden
from inference.errors import InvalidAlgorithm
from training.errors import ConversionFailed, InvalidRun
from training.published import folder as published_folder
from training.published.confined import MODEL_NAME, RECORD_NAME
from training.published.conversion import golden_volume
from training.published.drawn import drawn_chest, drawn_head, drawn_torso
from training.published.folder import write_published

SOURCE = dict.fromkeys(("package", "version", "file", "sha256", "licence"), "x")


def test_a_pair_has_the_margin_that_the_output_lacks() -> None:
    """The output lies in the middle, around it is background, and it is rounded by less than any tolerance."""
    given = torch.zeros(1, 1, 9, 8, 8)
    output = np.random.default_rng(1).random((1, 2, 5, 4, 4)).astype(np.float32)

    golden = golden_volume(given, output)

    assert golden.volume.shape == (9, 8, 8)
    assert golden.output.shape == (2, 9, 8, 8)
    inside = golden.output[:, 2:-2, 2:-2, 2:-2]
    assert np.abs(inside - output[0]).max() <= 2**-17
    assert golden.output.sum() == pytest.approx(inside.sum())


def test_drawings_are_the_same_each_time_and_small(tmp_path: Path) -> None:
    """The same bytes at each conversion, and a golden file of a few megabytes at most."""
    for draw in (lambda: drawn_torso(81)[np.newaxis], lambda: drawn_chest(512)[np.newaxis]):
        first, second = draw(), draw()
        assert first.tobytes() == second.tobytes()
        assert -0.6 <= first.min() < first.max() <= 0.6
        write_golden(tmp_path, golden_volume(torch.from_numpy(first)[None], (first > 0)[None].astype(np.float32)))
        assert (tmp_path / "golden.npz").stat().st_size < 2**20
    assert drawn_head((9, 10, 11)).shape == (9, 10, 11)


@pytest.mark.parametrize(
    ("found", "refusal", "sentence"),
    [(0.0, ConversionFailed, "holds nothing to compare"), (1.0, InvalidAlgorithm, "gives other outputs")],
)
def test_a_pair_that_compares_nothing_or_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: float, refusal: type[Exception], sentence: str
) -> None:
    """The sentence says so, and nothing stands where the algorithm would."""

    def convert(_: str, __: Sequence[Path], folder: Path) -> None:
        (folder / MODEL_NAME).write_bytes(_finds_nothing())
        write_golden(folder, golden_volume(torch.zeros(1, 1, 27, 27, 27), np.full((1, 1, 1, 1, 1), found, np.float32)))
        (folder / RECORD_NAME).write_text('{"difference": 0}')
        assert read_golden(folder) is not None

    monkeypatch.setattr(published_folder, "convert_confined", convert)
    (tmp_path / "work").mkdir()

    with pytest.raises(refusal, match=sentence):
        write_published("liver", [], SOURCE, tmp_path / "liver", tmp_path / "work")

    assert not (tmp_path / "liver").exists()


def test_what_stands_where_a_published_network_would_go_is_kept(tmp_path: Path) -> None:
    """A second fetch throws away neither an edited card nor an acceptance set; nothing is made."""
    folder = tmp_path / "liver"
    (folder / "acceptance").mkdir(parents=True)
    for name in ("algorithm.yaml", "card.md"):
        (folder / name).write_text("mine")

    with pytest.raises(InvalidRun, match="is not empty, and what is yours in it would be lost"):
        write_published("liver", [], SOURCE, folder, tmp_path / "work")

    assert sorted(one.name for one in folder.iterdir()) == ["acceptance", "algorithm.yaml", "card.md"]


def _finds_nothing() -> bytes:
    """A network with the ends of the liver's, whose output is 0 everywhere."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *"xyz"]) for name in ("image", "probability")]
    numbers = {"start": [13] * 3, "end": [-13] * 3, "axes": [2, 3, 4]}
    tensors = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
    tensors.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    nodes = [
        helper.make_node("Slice", ["image", *numbers], ["inside"]),
        helper.make_node("Mul", ["inside", "zero"], ["probability"]),
    ]
    graph = helper.make_graph(nodes, "nothing", ends[:1], ends[1:], tensors)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
