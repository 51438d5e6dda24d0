"""Detections of a series: numbered, merged over the slices of a stack, bounded in number, and absent where none is."""

from pathlib import Path

import numpy as np
import pytest

from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.algorithms.manifest import parse_manifest
from inference.errors import InvalidAlgorithm
from inference.findings.boxes import Box
from inference.findings.classification import KeyImage
from inference.findings.detection import conclude_detections
from inference.imaging.image_series import ImageSeries
from inference.settings import WorkerSettings
from storage.domain.finding import Detection
from tests.peers.synthetic_series import kept, slice_headers
from tests.peers.tiny_detector import MASS, NODULE, blob_network, manifest_with, write_tiny_detector


def _series(folder: Path, count: int = 6, **changes: object) -> ImageSeries:
    folder.mkdir(exist_ok=True)
    headers = slice_headers(count, size=(32, 32))
    for header in headers:
        for keyword, value in changes.items():
            setattr(header, keyword, value)
    return ImageSeries(tuple(headers), {one.header.sop_instance_uid: one for one in kept(headers, folder)})


def _concluded(series: ImageSeries, boxes: dict[int, list[Box]], **outputs: object) -> tuple[KeyImage, ...]:
    manifest = parse_manifest(manifest_with(outputs=outputs))
    assert isinstance(manifest, DetectionManifest)
    return conclude_detections(series, boxes, len(series.headers), manifest, lambda label: f"2.25.{label}")


def _detection(key: KeyImage) -> Detection:
    assert key.finding.detection is not None
    return key.finding.detection


def _box(index: int, left: float, score: float) -> Box:
    return Box(index, 4, left, 12, left + 8, score)


def test_things_are_numbered_and_classes_without_any_are_absent(tmp_path: Path) -> None:
    """The surest is the first; a class with boxes below its threshold tells the surest of them, one without any 0."""
    series = _series(tmp_path)
    boxes = {0: [_box(1, 0, 0.7), _box(4, 20, 0.9), _box(5, 10, 0.4)], 7: [_box(3, 0, 0.5)], 9: [_box(0, 0, 1)]}

    keys = _concluded(series, boxes)

    told = [(key.classification.label, key.classification.present, key.classification.probability) for key in keys]
    assert told == [("Nodule 1", True, 0.9), ("Nodule 2", True, 0.7), ("Mass", False, 0.5)]
    assert [key.finding.tracking_identifier for key in keys] == [f"tiny-detector {label}" for label, _, _ in told]
    assert [key.finding.tracking_uid for key in keys] == [f"2.25.{label}" for label, _, _ in told]
    assert [key.index for key in keys] == [4, 1, 3]
    assert [len(_detection(key).boxes) for key in keys] == [1, 1, 0]
    assert keys[0].region == (4, 20, 12, 28)
    assert [_detection(key).candidates for key in keys] == [3, 3, 1]
    assert all(key.finding.is_scored for key in keys)
    (nothing, absent) = _concluded(series, {})
    assert (nothing.classification.probability, nothing.index, nothing.places) == (0, 3, ())
    assert not absent.classification.present
    assert not nothing.finding.is_scored


def test_a_score_equal_to_the_threshold_counts(tmp_path: Path) -> None:
    """As the network computes: 0.7 in float32, which is a little less than 0.7, reaches 0.7."""
    sure = float(np.float32(0.7))

    keys = _concluded(_series(tmp_path), {7: [_box(2, 0, sure)]}, classes=[NODULE, MASS | {"threshold": 0.7}])

    assert sure < 0.7

    assert [key.classification.present for key in keys] == [False, True]


def test_a_thing_on_several_slices_of_a_stack_is_one(tmp_path: Path) -> None:
    """It is shown where it is surest, with its box on each slice; images that are no stack are not neighbours."""
    boxes = {0: [_box(1, 0, 0.6), _box(2, 1, 0.9), _box(3, 2, 0.7)]}

    key, _ = _concluded(_series(tmp_path / "stack"), boxes)
    assert key.index == 2
    assert [index for index, _ in key.places] == [1, 2, 3]
    assert [one.score for one in _detection(key).boxes] == [0.6, 0.9, 0.7]

    apart = _concluded(_series(tmp_path / "apart", ImagePositionPatient=[0, 0, 0]), boxes)
    assert [key.index for key in apart if key.classification.present] == [2, 3, 1]


def test_no_more_than_the_surest_are_told_and_all_are_counted(tmp_path: Path) -> None:
    """Of three things two are told, and each of them says that there were three."""
    boxes = {0: [_box(0, 0, 0.6), _box(2, 0, 0.9), _box(4, 0, 0.7)]}

    keys = _concluded(_series(tmp_path), boxes, most_findings=2)

    present = [key for key in keys if key.classification.present]
    assert [(key.index, _detection(key).reached) for key in present] == [(2, 3), (4, 3)]


def test_a_class_is_told_of_whatever_is_surer_of_another(tmp_path: Path) -> None:
    """Two nodules surer than the mass do not hide it: a report that is silent about a class would read as none."""
    boxes = {0: [_box(0, 0, 0.9), _box(2, 0, 0.8)], 7: [_box(4, 0, 0.7)]}

    keys = _concluded(_series(tmp_path), boxes, most_findings=2)

    present = [key.classification.label for key in keys if key.classification.present]
    assert present == ["Nodule 1", "Mass 1"]


def test_the_network_finds_the_square_that_it_is_shown(tmp_path: Path) -> None:
    """Through the engine the surest box is the square, and an image without one has none."""
    engine = Engine(verify(write_tiny_detector(tmp_path)), WorkerSettings(device="cpu"))
    plane = np.zeros((32, 32), np.float32)
    assert len(engine.detect(plane[None, None]).boxes) == 0

    plane[9:13, 20:24] = 1
    found = engine.detect(plane[None, None])
    best = int(np.argmax(found.scores))
    assert (found.boxes[best].tolist(), found.scores[best], found.labels[best]) == ([20, 9, 24, 13], 1, 0)
    assert len(found.boxes) > 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inference": {"boxes": "other"}}, "inference.boxes"),
        ({"inference": {"scores": "labels", "labels": "scores"}}, "labels"),
        ({"image": {"size": [16, 16]}}, "image.size"),
        ({"inference": {"precision": "float16"}}, "golden.npz"),
    ],
)
def test_a_network_that_gives_something_else_is_refused(
    tmp_path: Path, changes: dict[str, dict[str, object]], words: str
) -> None:
    """Before anything is run, in a sentence that says what to correct."""
    with pytest.raises(InvalidAlgorithm, match=words):
        verify(write_tiny_detector(tmp_path, blob_network(), **changes))
