"""Networks that compute in less than float32: where the manifest permits it, and only with outputs to compare with."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.algorithms.engine import Engine
from inference.algorithms.folder import GOLDEN_NAME, verify
from inference.algorithms.golden import check_golden, read_golden, write_golden
from inference.algorithms.golden_boxes import BOX_TOLERANCES
from inference.algorithms.golden_parity import SCORE_TOLERANCES, VOXEL_TOLERANCES, Parity
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.sliding_window import predict_volume
from inference.errors import InvalidAlgorithm
from inference.settings import WorkerSettings
from tests.peers.tiny_algorithm import network, write_tiny_algorithm
from tests.peers.tiny_classifier import write_tiny_classifier

SETTINGS = WorkerSettings(device="cpu", threads=1)
VOLUME = np.random.default_rng(5).uniform(0, 1, (6, 5, 4)).astype(np.float32)


def _file(nodes: list[Any], tensors: list[Any], ends: int = TensorProto.FLOAT) -> bytes:
    infos = [helper.make_tensor_value_info(name, ends, ["b", 1, "p", "q", "r"]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "tiny", infos[:1], infos[1:], tensors)
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def _half(by: float = 0.1, ends: int = TensorProto.FLOAT16) -> bytes:
    """y = x + by in float16, with ends of float16 or, behind casts, of float32."""
    shift = numpy_helper.from_array(np.float16(by), "by")
    if ends == TensorProto.FLOAT16:
        return _file([helper.make_node("Add", ["x", "by"], ["y"])], [shift], ends)
    return _file(
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            helper.make_node("Add", ["h", "by"], ["s"]),
            helper.make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT),
        ],
        [shift],
        ends,
    )


def _brain_float() -> bytes:
    """y = x with bfloat16 in between."""
    return _file(
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16),
            helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
        ],
        [],
    )


def _quantised() -> bytes:
    """y = x in steps of 1/100."""
    step = numpy_helper.from_array(np.float32(0.01), "step")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    return _file(
        [
            helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["y"]),
        ],
        [step, zero],
    )


FILES = {
    "float16": [_half(), _half(ends=TensorProto.FLOAT)],
    "bfloat16": [_brain_float()],
    "int8": [_quantised()],
}


def _folder(folder: Path, content: bytes, precision: str, golden: np.ndarray | None = VOLUME) -> Path:
    write_tiny_algorithm(folder, content, inference={"input": "x", "output": "y", "precision": precision})
    if golden is not None:
        write_golden(folder, GoldenVolume(VOLUME, golden[np.newaxis]))
    return folder


@pytest.mark.parametrize("permitted", ["float32", "float16", "bfloat16", "int8"])
@pytest.mark.parametrize(("computed", "content"), [(name, one) for name, files in FILES.items() for one in files])
def test_a_network_computes_in_what_its_manifest_permits(
    tmp_path: Path, computed: str, content: bytes, permitted: str
) -> None:
    """Of each kind of file and each precision of the manifest, only what belongs together is taken."""
    folder = _folder(tmp_path, content, permitted)
    if computed == permitted:
        verify(folder)
        return

    with pytest.raises(InvalidAlgorithm, match=rf"computes in {computed}.*permit"):
        verify(folder)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_less_than_float32_needs_outputs_to_compare_with(tmp_path: Path, precision: str) -> None:
    """Without golden.npz nobody could say that the result is still the network's."""
    with pytest.raises(InvalidAlgorithm, match=GOLDEN_NAME):
        verify(_folder(tmp_path, FILES[precision][0], precision, golden=None))


def test_ends_of_float16_are_given_and_give_float32(tmp_path: Path) -> None:
    """The engine converts; what comes out is within the rounding of float16 and float32 again."""
    verified = verify(_folder(tmp_path, _half(), "float16"))

    for _ in range(2):  # the second run is given an array for its output
        predicted = predict_volume(Engine(verified, SETTINGS), VOLUME / 2, verified.manifest.inference)
        assert predicted.dtype == np.float32
        assert predicted[0] == pytest.approx(VOLUME / 2 + 0.1, abs=2e-3)


def test_a_float16_result_beyond_its_range_is_no_result(tmp_path: Path) -> None:
    """What overflows in float16 is infinite, and is not taken for a probability."""
    from inference.errors import InvalidOutput

    engine = Engine(verify(_folder(tmp_path, _half(60000.0), "float16")), SETTINGS)

    with pytest.raises(InvalidOutput):
        engine.predict(np.full((1, 1, 2, 2, 2), 60000, np.float32))


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_a_golden_volume_holds_within_what_its_precision_allows(tmp_path: Path, precision: str) -> None:
    """The original is float32; the exported network comes near to it, and the pair says how near."""
    content = _half(0.0) if precision == "float16" else FILES[precision][0]
    verified = verify(_folder(tmp_path, content, precision))
    golden = read_golden(tmp_path)
    assert isinstance(golden, GoldenVolume)

    parity = check_golden(verified, golden, Engine(verified, SETTINGS))

    assert 0 < parity.largest < 0.02
    assert parity.dice is not None
    assert parity.dice > 0.95


@pytest.mark.parametrize(
    ("spoil", "found"), [(0.4, "largest difference 0.4"), (np.nan, "largest difference nan"), (-1.0, "Dice 0.0")]
)
def test_a_network_that_gives_something_else_does_not_pass(tmp_path: Path, spoil: float, found: str) -> None:
    """One voxel far off, one that is NaN in the pair, or another mask: each is refused with its number."""
    other = VOLUME.copy()
    if spoil > 0 or np.isnan(spoil):
        other[0, 0, 0] = spoil + other[0, 0, 0]
    else:
        other -= 1
    verified = verify(_folder(tmp_path, network([helper.make_node("Identity", ["x"], ["y"])], []), "float32", other))
    golden = read_golden(tmp_path)
    assert golden is not None

    with pytest.raises(InvalidAlgorithm, match=found):
        check_golden(verified, golden, Engine(verified, SETTINGS))


def test_few_voxels_beyond_the_threshold_are_seen_by_dice(tmp_path: Path) -> None:
    """Differences below the largest that is allowed, but on the wrong side of the threshold, do not pass either."""
    at_the_edge = np.full(VOLUME.shape, 0.495, np.float32)
    write_golden(tmp_path, GoldenVolume(at_the_edge, at_the_edge[np.newaxis] + 0.01))
    write_tiny_algorithm(tmp_path, network([helper.make_node("Identity", ["x"], ["y"])], []))
    verified, golden = verify(tmp_path), read_golden(tmp_path)
    assert golden is not None

    with pytest.raises(InvalidAlgorithm, match=r"difference 0\.01, Dice 0\.0000"):
        check_golden(verified, golden, Engine(verified, SETTINGS))


def test_a_pair_of_another_task_is_refused(tmp_path: Path) -> None:
    """Arrays of a segmentation say nothing of a classifier."""
    folder = write_tiny_classifier(tmp_path)
    write_golden(folder, GoldenVolume(VOLUME, VOLUME[np.newaxis]))
    verified, golden = verify(folder), read_golden(folder)
    assert golden is not None

    with pytest.raises(InvalidAlgorithm, match="another task"):
        check_golden(verified, golden, Engine(verified, SETTINGS))


@pytest.mark.parametrize("output", [VOLUME, VOLUME[np.newaxis, :-1], np.zeros((0, *VOLUME.shape), np.float32)])
def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path, output: np.ndarray) -> None:
    """An output of another rank or size than the volume, or without a channel, is no pair."""
    write_golden(tmp_path, GoldenVolume(VOLUME, output))

    with pytest.raises(InvalidAlgorithm, match="belong together"):
        read_golden(tmp_path)


def test_the_documented_tolerances_are_those_of_the_code() -> None:
    """docs/reference/algorithm-folder.md has a line for each precision."""
    page = (Path(__file__).parents[3] / "docs/reference/algorithm-folder.md").read_text(encoding="utf-8")
    lines = [
        f"| `{name}` | {most} | {least} | {SCORE_TOLERANCES[name]} | {BOX_TOLERANCES[name]} |"
        for name, (most, least) in VOXEL_TOLERANCES.items()
    ]

    assert len(lines) == len(SCORE_TOLERANCES) == 4
    assert [line for line in lines if line not in page] == []


def test_parity_is_told_in_words() -> None:
    """The numbers stand where `overread algorithms verify` shows them; a classifier has no Dice."""
    assert str(Parity(0.0012, 0.99951)) == "largest difference 0.001, Dice 0.9995"
    assert str(Parity(0.0)) == "largest difference 0"
    assert str(Parity(0.0, overlap=0.98765)) == "largest difference 0, smallest overlap of boxes 0.9877"


def test_the_digests_of_the_files_here_differ() -> None:
    """The kinds above are really different files."""
    contents = [one for files in FILES.values() for one in files]
    assert len({hashlib.sha256(one).digest() for one in contents}) == len(contents)
