"""The steps of a manifest on the voxels of its segments, in the order that it states."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from inference.algorithms.segmentation_manifest import Segment
from inference.findings.postprocessing import count_components, largest_component, postprocessed
from tests.peers.tiny_algorithm import MANIFEST

FIRST = MANIFEST["outputs"]["segments"][0]
LARGEST = {"step": "largest_component"}
FILL_SLICES = {"step": "fill_holes", "within": "slices"}
FILL_VOLUME = {"step": "fill_holes", "within": "volume"}


def _segment(*steps: dict[str, Any], number: int = 1, **changes: Any) -> Segment:
    return Segment.model_validate(
        FIRST | {"number": number, "label": f"s{number}", "postprocessing": list(steps)} | changes
    )


def _after(labels: np.ndarray, *segments: Segment, voxel_volume_mm3: float = 1.0) -> np.ndarray:
    return postprocessed(labels.copy(), segments, voxel_volume_mm3)


def _ring(shape: tuple[int, int, int] = (5, 9, 9)) -> np.ndarray:
    """A tube along the slices: on each slice a ring around one hole of 3 x 3, open at both ends."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 2:7, 2:7] = 1
    labels[1:4, 3:6, 3:6] = 0
    return labels


def test_only_the_largest_component_is_kept_when_asked() -> None:
    """Voxels that touch by an edge only are apart; the old key of the manifest asks for the same."""
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2, 1:4, 1:3] = 1
    labels[3, 0, 0] = labels[5, 4, 3] = 1

    assert _after(labels, _segment()).sum() == 8
    assert _after(labels, _segment(LARGEST)).sum() == 6
    assert _after(labels, _segment(keep_largest_component=True)).sum() == 6
    assert largest_component(np.zeros((2, 2, 2), bool)).sum() == 0


def test_holes_are_filled_on_slices_or_in_the_volume() -> None:
    """A tube encloses its hole on each slice, but not in the volume until its ends are shut."""
    tube, shut = _ring(), _ring()
    shut[[0, 4], 2:7, 2:7] = 1

    assert _after(tube, _segment(FILL_SLICES)).sum() == 3 * 25
    assert np.array_equal(_after(tube, _segment(FILL_VOLUME)), tube)
    assert _after(shut, _segment(FILL_VOLUME)).sum() == 5 * 25


def test_a_hole_that_another_segment_fills_stays_its_own() -> None:
    """A tumour inside an organ is no hole of the organ; the background around it inside the organ is."""
    labels = _ring()
    labels[2, 4, 4] = 2

    filled = _after(labels, _segment(FILL_SLICES), _segment(number=2))

    assert filled[2, 4, 4] == 2
    assert (filled == 1).sum() == 3 * 25 - 1


def test_small_components_are_left_out_by_voxels_or_by_volume() -> None:
    """Exactly the size stays: two voxels of 0.5 mm³ are 0.001 ml."""
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[0, 0, :4], labels[1, 3, :2], labels[2, 5, 5] = 1, 1, 1

    for step in ({"voxels": 2}, {"ml": 0.001}):
        kept = _after(labels, _segment({"step": "minimum_size"} | step), voxel_volume_mm3=0.5)
        assert kept.sum() == 6
        assert count_components(kept == 1) == 2
    assert _after(labels, _segment({"step": "minimum_size", "ml": 0.0011}), voxel_volume_mm3=0.5).sum() == 4
    assert _after(labels, _segment({"step": "minimum_size", "voxels": 5})).sum() == 0


def test_the_steps_are_done_in_the_order_in_which_they_are_written() -> None:
    """A part with a hole is too small before the hole is filled, and large enough afterwards."""
    labels = _ring()
    least = {"step": "minimum_size", "voxels": 60}

    assert _after(labels, _segment(FILL_SLICES, least)).sum() == 75
    assert _after(labels, _segment(least, FILL_SLICES)).sum() == 0


def test_a_segment_gains_nothing_but_background_and_loses_its_own_voxels_only() -> None:
    """What one segment's steps do, the voxels of the others do not feel."""
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, :4, :4], labels[1, 1:3, 1:3], labels[0, 7, 7], labels[2, 7, 7] = 1, 2, 1, 2

    after = _after(labels, _segment(FILL_SLICES, LARGEST), _segment(number=2))

    assert np.array_equal(after == 2, labels == 2)
    assert after[0, 7, 7] == 0


def test_the_steps_and_the_threshold_are_told_in_words() -> None:
    """Reports say where the threshold came from and what was done, in its order."""
    one = _segment(FILL_SLICES, {"step": "minimum_size", "ml": 0.5}, LARGEST, threshold_origin="chosen on validation")

    assert one.description().made_by == (
        "threshold for s1: 0.5 (chosen on validation)",
        "postprocessing of s1: fill holes within each slice, then drop components below 0.5 ml, "
        "then keep the largest component",
    )
    assert one.made_by() == (
        "threshold 0.5 (chosen on validation)",
        "postprocessing: fill holes within each slice, then drop components below 0.5 ml, "
        "then keep the largest component",
    )
    assert _segment().description().made_by == ("threshold for s1: 0.5",)
    assert _segment(threshold_origin="Set by hand.").made_by() == ("threshold 0.5 (Set by hand)",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"postprocessing": [{"step": "minimum_size"}]}, "either ml or voxels"),
        ({"postprocessing": [{"step": "minimum_size", "ml": 1, "voxels": 3}]}, "either ml or voxels"),
        ({"postprocessing": [{"step": "fill_holes"}]}, "Field required"),
        ({"postprocessing": [{"step": "smooth"}]}, "step"),
        ({"postprocessing": [LARGEST], "keep_largest_component": True}, "write it as step largest_component"),
    ],
)
def test_steps_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    """A step has what it needs and no more, and nothing is asked for twice."""
    with pytest.raises(ValidationError, match=words):
        Segment.model_validate(FIRST | changes)
