"""Detection window by window: each thing is told once, where it is, whatever the windows."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.algorithms.box_windows import detect_volume
from inference.algorithms.checked_boxes import ImageBoxes
from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.algorithms.golden import check_golden, read_golden, write_golden
from inference.algorithms.golden_volume_boxes import GoldenVolumeBoxes
from inference.algorithms.manifest import parse_manifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm
from inference.settings import WorkerSettings
from tests.peers.tiny_volume_detector import block_network, volume_manifest_with, write_tiny_volume_detector

# Low corners of blocks of 2 x 4 x 4 voxels. With windows of 4 x 16 x 16 at 0, 2, 4 and 0, 8, 16, the first lies in one
# window whole and in several by half, the second over the middle of all borders, the third in a corner of the volume.
BLOCKS = [(1, 2, 3), (3, 14, 15), (6, 28, 28)]


def _volume(shape: tuple[int, int, int] = (8, 32, 32), blocks: list[tuple[int, int, int]] = BLOCKS) -> np.ndarray:
    volume = np.zeros(shape, np.float32)
    for number, (low, top, left) in enumerate(blocks):
        volume[low : low + 2, top : top + 4, left : left + 4] = 1 - number / 10
    return volume


def _engine(folder: Path, **changes: Any) -> tuple[Engine, VolumeDetectionManifest]:
    verified = verify(write_tiny_volume_detector(folder, **changes))
    assert isinstance(verified.manifest, VolumeDetectionManifest)
    return Engine(verified, WorkerSettings(device="cpu")), verified.manifest


def _sure(found: ImageBoxes, least: float = 0.5) -> list[list[float]]:
    return [
        [round(float(score), 4), *box]
        for box, score in zip(found.boxes.tolist(), found.scores, strict=True)
        if score >= least
    ]


def _expected(blocks: list[tuple[int, int, int]] = BLOCKS) -> list[list[float]]:
    return [[1 - n / 10, *low, low[0] + 2, low[1] + 4, low[2] + 4] for n, low in enumerate(blocks)]


@pytest.mark.parametrize(
    "inference", [{}, {"mode": "whole_volume", "window": None}, {"background": 0.0}, {"window": [8, 40, 40]}]
)
def test_each_block_is_told_once_at_its_place(tmp_path: Path, inference: dict[str, Any]) -> None:
    """Window by window, at once, without the windows that show nothing, and in a window larger than the volume."""
    engine, manifest = _engine(tmp_path, inference=inference)

    found = detect_volume(engine, _volume(), manifest)

    assert _sure(found) == _expected()
    assert (found.scores < 0.5).any()  # what is not sure is given too: the highest of it is told where nothing is


def test_a_part_that_a_window_cut_off_is_no_further_finding(tmp_path: Path) -> None:
    """Though it overlaps the whole by less than nms_iou, and even where it is the surer one."""
    manifest = parse_manifest(volume_manifest_with(outputs={"nms_iou": 0.6}, inference={"window": [4, 16, 16]}))
    assert isinstance(manifest, VolumeDetectionManifest)
    whole, part = [1, 5, 4, 3, 12, 8], [1, 8, 4, 3, 12, 8]  # the second window of an axis begins at 8

    class _Scripted:
        def __init__(self, of_part: float, seen_whole: float) -> None:
            self._scores, self._calls = (seen_whole, of_part), 0

        def detect(self, image: np.ndarray) -> ImageBoxes:
            """The whole in the first window, the part in the second, which begins at row 8."""
            self._calls += 1
            if self._calls > 2:
                return ImageBoxes(np.zeros((0, 6)), np.zeros(0), np.zeros(0, np.int64))
            box = np.array([whole], float) if self._calls == 1 else np.array([part], float) - [0, 8, 0, 0, 8, 0]
            return ImageBoxes(box, np.array([self._scores[self._calls != 1]]), np.zeros(1, np.int64))

    blank = np.zeros((4, 32, 16), np.float32)
    calls = {score: _sure(detect_volume(_Scripted(0.9, score), blank, manifest)) for score in (0.7, 0.4)}

    assert calls[0.7] == [[0.7, *map(float, whole)]]
    assert calls[0.4] == [[0.9, *map(float, part)]]  # a whole that is not sure takes nothing away


class _Chatty:
    """Gives so many boxes of one voxel in each window, sure ones and others by turns, and none is surer than before."""

    def __init__(self, boxes: int) -> None:
        self._boxes, self._calls = boxes, 0

    def detect(self, image: np.ndarray) -> ImageBoxes:
        self._calls += 1
        rng = np.random.default_rng(self._calls)
        low = rng.integers(1, 3, (self._boxes, 3)).astype(float)
        scores = (0.9 - 0.4 * (np.arange(self._boxes) % 2)) / self._calls**0.01 - np.arange(self._boxes) / 1e6
        return ImageBoxes(np.hstack([low, low + 1]), scores, np.zeros(self._boxes, np.int64))


def test_the_boxes_of_many_windows_take_no_more_memory_than_those_of_a_few() -> None:
    """Of each class the 1000 surest on either side of the threshold stay while windows go by."""
    manifest = parse_manifest(volume_manifest_with(inference={"window": [4, 16, 16]}))
    assert isinstance(manifest, VolumeDetectionManifest)
    peaks = []
    for rows in (32, 512):
        tracemalloc.start()
        found = detect_volume(_Chatty(4000), np.zeros((4, rows, 32), np.float32), manifest)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    unsure = found.scores[found.scores < 0.5]

    assert len(unsure) == 1000
    assert unsure.min() > 0.498  # of the first windows, which were the surest
    assert peaks[1] < peaks[0] + 2**20


def test_without_overlap_what_lies_across_a_border_is_told_in_parts(tmp_path: Path) -> None:
    """This is why windows overlap: no window sees the block whole, and each half is only half as sure."""
    engine, manifest = _engine(tmp_path, inference={"overlap": 0})

    found = _sure(detect_volume(engine, _volume(blocks=[(0, 14, 2)]), manifest), least=0.45)

    assert [box[:3] for box in found] == [[0.5, 0, 12], [0.5, 0, 16]]


def test_the_overlap_of_boxes_counts_along_all_axes(tmp_path: Path) -> None:
    """Two blocks at one place of neighbouring slices are two things."""
    engine, manifest = _engine(tmp_path)
    blocks = [(0, 4, 4), (4, 4, 4)]

    assert _sure(detect_volume(engine, _volume(blocks=blocks), manifest)) == _expected(blocks)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (block_network(edges=6), {"inference": {"boxes": "other"}}, "inference.boxes"),
        (block_network(edges=6), {"inference": {"window": None}}, "window"),
        (block_network(edges=6), {"preprocessing": {"voi": "first"}}, "voi"),
        (block_network(edges=6), {"outputs": {"merge_iou": 0.3}}, "merge_iou"),
    ],
)
def test_a_network_or_a_manifest_that_is_something_else_is_refused(
    tmp_path: Path, model: bytes, changes: dict[str, Any], words: str
) -> None:
    """Before anything is run, in a sentence that names the key."""
    with pytest.raises(InvalidAlgorithm, match=words):
        verify(write_tiny_volume_detector(tmp_path, model, **changes))


def test_a_network_of_images_is_none_of_volumes(tmp_path: Path) -> None:
    """Its input has two axes, which the sentence says."""
    from tests.peers.tiny_detector import blob_network

    with pytest.raises(InvalidAlgorithm, match="three, spatial, axes"):
        verify(write_tiny_volume_detector(tmp_path, blob_network()))


def test_a_golden_pair_of_boxes_in_a_volume_is_repeated(tmp_path: Path) -> None:
    """It holds where the boxes are the same, and is refused where one is elsewhere, as sure as another or missing."""
    engine, manifest = _engine(tmp_path)
    found = detect_volume(engine, _volume(), manifest)
    arrays = [np.asarray(part, np.float32) for part in (_volume(), found.boxes, found.scores, found.labels)]
    write_golden(tmp_path, GoldenVolumeBoxes(*arrays))

    kept = read_golden(tmp_path)
    assert isinstance(kept, GoldenVolumeBoxes)
    parity = check_golden(verify(tmp_path), kept, engine)
    assert (parity.largest, parity.overlap) == (0, 1)

    volume, boxes, scores, labels = arrays
    moved = boxes.copy()
    moved[0, [2, 5]] += 1
    for other in (
        (volume, moved, scores, labels),
        (volume, boxes, scores - 0.05, labels),
        (volume, boxes[1:], scores[1:], labels[1:]),
        (volume * 0, boxes, scores, labels),
    ):
        with pytest.raises(InvalidAlgorithm, match="other outputs"):
            check_golden(verify(tmp_path), GoldenVolumeBoxes(*other), engine)
    with pytest.raises(InvalidAlgorithm, match="compares nothing"):
        check_golden(verify(tmp_path), GoldenVolumeBoxes(volume, boxes[:0], scores[:0], labels[:0]), engine)
    for wrong in ((volume, boxes[:, :4], scores, labels), (volume[0], boxes, scores, labels)):
        write_golden(tmp_path, GoldenVolumeBoxes(*wrong))
        with pytest.raises(InvalidAlgorithm, match="do not belong together"):
            read_golden(tmp_path)
