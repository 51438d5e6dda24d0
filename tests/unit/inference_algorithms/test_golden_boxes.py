"""The golden pair of a detection: each thing that counts is found again, at the same place and as surely."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Engine
from inference.algorithms.folder import GOLDEN_NAME, verify
from inference.algorithms.golden import check_golden, read_golden, write_golden
from inference.algorithms.golden_boxes import Likeness, likeness
from inference.algorithms.golden_image_boxes import GoldenBoxes
from inference.errors import InvalidAlgorithm
from inference.imaging.plane import network_input, prepare_plane
from inference.settings import WorkerSettings
from tests.peers.tiny_detector import blob_network, write_tiny_detector

SETTINGS = WorkerSettings(device="cpu", threads=1)
ANYTHING = 0  # the class that the tiny detector knows


def _images() -> np.ndarray:
    """One image with two bright squares, one with a square, one with a slope that is too dark everywhere."""
    images = np.zeros((3, 32, 32), np.float32)
    images[0, 4:8, 4:8], images[0, 20:24, 12:16] = 2000, 1500
    images[1, 10:14, 10:14] = 1800
    images[2] = np.linspace(0, 300, 32)
    return images


def _golden(folder: Path) -> GoldenBoxes:
    verified = verify(folder)
    manifest = verified.manifest
    assert isinstance(manifest, DetectionManifest)
    engine, images = Engine(verified, SETTINGS), _images()
    prepared = np.stack([prepare_plane(one, manifest.image) for one in images])
    found = [engine.detect(network_input(one[None], manifest.image)) for one in prepared]
    return GoldenBoxes(
        images,
        prepared,
        np.array([len(one.boxes) for one in found], np.float32),
        *(np.concatenate([getattr(one, name) for one in found]).astype(np.float32) for name in _BOXES),
    )


_BOXES = ("boxes", "scores", "labels")


def _halved() -> bytes:
    """The tiny detector, its scores rounded to float16."""
    model = onnx.load_model_from_string(blob_network())
    for node in model.graph.node:
        node.output[:] = ["exact" if name == "scores" else name for name in node.output]
        node.input[:] = ["exact" if name == "scores" else name for name in node.input]
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["exact"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["half"], ["scores"], to=TensorProto.FLOAT),
        ]
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny detector with its golden pair."""
    write_tiny_detector(tmp_path)
    write_golden(tmp_path, _golden(tmp_path))
    return tmp_path


def _check(folder: Path, golden: GoldenBoxes | None = None) -> Any:
    verified, kept = verify(folder), golden or read_golden(folder)
    assert isinstance(kept, GoldenBoxes)
    return check_golden(verified, kept, Engine(verified, SETTINGS))


def test_the_pair_of_a_detector_holds(folder: Path) -> None:
    """Written and read again, repeated image by image, also of an image without a box: nothing differs."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    assert golden.counts[0] > golden.counts[1] > golden.counts[2] == 0

    parity = _check(folder)

    assert (parity.largest, parity.dice, parity.overlap) == (0, None, 1)


def test_the_order_of_boxes_says_nothing(folder: Path) -> None:
    """Frameworks sort boxes each in its own way."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    first = int(golden.counts[0])
    order = np.concatenate([np.arange(first)[::-1], np.arange(first, len(golden.boxes))])
    turned = {name: getattr(golden, name)[order] for name in _BOXES}

    assert _check(folder, dataclasses.replace(golden, **turned)).overlap == 1


@pytest.mark.parametrize("by", [0.0, 0.9])
def test_boxes_that_count_for_nothing_are_not_compared(folder: Path, by: float) -> None:
    """A box below its threshold, one of a class that the manifest does not name, and one without area may differ."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    more = dataclasses.replace(
        golden,
        counts=golden.counts + np.array([0, 0, 3], np.float32),
        boxes=np.concatenate([golden.boxes, [[0, 0, 9, 9], [0, 0, 9, 9], [2, 2, 2, 9]]]).astype(np.float32),
        scores=np.concatenate([golden.scores, [0.4, by, 0.9]]).astype(np.float32),
        labels=np.concatenate([golden.labels, [ANYTHING, 5, ANYTHING]]).astype(np.float32),
    )

    assert _check(folder, more).overlap == 1


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"scores": -0.02}, r"difference 0\.02"),
        ({"boxes": np.float32([0.2, 0, 0.2, 0])}, r"smallest overlap of boxes 0\.9048"),
        ({"labels": 7}, r"smallest overlap of boxes 0\.0000"),
        ({"prepared": 0.01}, "gives other images"),
    ],
)
def test_each_array_of_boxes_is_compared(folder: Path, changed: dict[str, Any], found: str) -> None:
    """All boxes less sure, moved by a fifth of a pixel, or of another class, and other prepared images are refused."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    other = {name: getattr(golden, name) + np.asarray(by, np.float32) for name, by in changed.items()}

    with pytest.raises(InvalidAlgorithm, match=found):
        _check(folder, dataclasses.replace(golden, **other))


def test_what_is_found_here_alone_is_seen_too(folder: Path) -> None:
    """A pair that lacks a box which this machine gives and which counts is another network's."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    first = int(golden.counts[0])
    fewer = {name: getattr(golden, name)[:first] for name in _BOXES} | {"counts": np.array([first, 0, 0], np.float32)}

    with pytest.raises(InvalidAlgorithm, match=r"smallest overlap of boxes 0\.0000"):
        _check(folder, dataclasses.replace(golden, **fewer))


def _found(*boxes: tuple[float, float, float]) -> ImageBoxes:
    """Boxes 10 pixels high, given by left and right edge and score."""
    return checked_boxes(
        np.array([(left, 0, right, 10) for left, right, _ in boxes]).reshape(-1, 4),
        np.array([score for _, _, score in boxes]),
        np.zeros(len(boxes), np.int64),
    )


def test_a_box_is_compared_with_the_one_that_overlaps_it_most() -> None:
    """Not with a neighbour that is as sure; of equal boxes with the nearest score; and both sides are asked."""
    whole, thresholds = _found((0, 10, 0.9)), {0: 0.5}

    assert likeness(whole, _found((4, 14, 0.9), (0, 10, 0.4)), thresholds).score == pytest.approx(0.5)
    assert likeness(whole, _found((0, 10, 0.1), (0, 10, 0.8)), thresholds) == Likeness(pytest.approx(0.1), 1)
    assert likeness(whole, _found((20, 30, 0.9)), thresholds) == Likeness(0, 0)
    for one, other in ((whole, _found()), (_found(), whole)):
        assert likeness(one, other, thresholds) == Likeness(0, 0)


def test_a_pair_without_a_box_that_counts_is_refused(folder: Path) -> None:
    """Images on which nothing is found compare nothing."""
    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    unsure = dataclasses.replace(golden, scores=golden.scores * np.float32(0.49))

    with pytest.raises(InvalidAlgorithm, match="compares nothing"):
        _check(folder, unsure)


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": np.float32([1, 1, 1])},
        {"counts": np.float32([0.5, 0.5, 1])},
        {"counts": np.float32([-1, 1, 2])},
        {"counts": np.float32([1, 1])},
        {"counts": np.float32([[1, 0], [1, 0], [0, 0]])},
        {"scores": np.float32([0.5, 2.0])},
        {"boxes": np.float32([[4, 0, 0, 4], [0, 0, 4, 4]])},
        {"boxes": np.float32([[0, 0, 4], [0, 0, 4]])},
        {"labels": np.float32([0.5, 0])},
        {"images": np.zeros((0, 4, 4), np.float32)},
    ],
)
def test_boxes_that_do_not_belong_together_are_refused(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    """Counts that are not the boxes', scores beyond 1, boxes turned round: no pair."""
    whole = GoldenBoxes(
        np.zeros((3, 4, 4), np.float32),
        np.zeros((3, 4, 4), np.float32),
        np.float32([1, 0, 1]),
        np.float32([[0, 0, 4, 4], [0, 0, 4, 4]]),
        np.float32([0.5, 0.5]),
        np.float32([0, 0]),
    )
    write_golden(tmp_path, whole)
    assert isinstance(read_golden(tmp_path), GoldenBoxes)
    write_golden(tmp_path, dataclasses.replace(whole, **changes))

    with pytest.raises(InvalidAlgorithm, match=r"golden pair|belong together"):
        read_golden(tmp_path)


def test_a_detector_may_compute_in_float16_where_its_pair_holds(tmp_path: Path) -> None:
    """The pair of the float32 original is met within float16's rounding; without a pair the folder is refused."""
    write_tiny_detector(tmp_path / "exact")
    golden = _golden(tmp_path / "exact")
    halved = write_tiny_detector(tmp_path / "halved", _halved(), inference={"precision": "float16"})
    with pytest.raises(InvalidAlgorithm, match=GOLDEN_NAME):
        verify(halved)

    write_golden(halved, dataclasses.replace(golden, scores=golden.scores * np.float32(0.999)))

    assert 0 < _check(halved).largest < 0.002
    write_golden(halved, dataclasses.replace(golden, scores=golden.scores * np.float32(0.98)))
    with pytest.raises(InvalidAlgorithm, match="other outputs"):
        _check(halved)


def test_the_verify_command_repeats_the_boxes(folder: Path) -> None:
    """`overread algorithms verify FOLDER` tells how near the boxes come, and exits 1 where they do not."""
    command = [sys.executable, "-m", "overread", "algorithms", "verify", str(folder)]
    good = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (good.returncode, good.stderr) == (0, "")
    assert "smallest overlap of boxes 1.0000" in good.stdout

    golden = read_golden(folder)
    assert isinstance(golden, GoldenBoxes)
    write_golden(folder, dataclasses.replace(golden, boxes=golden.boxes + 1))
    bad = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)

    assert bad.returncode == 1
    assert "do not use it here" in bad.stderr
