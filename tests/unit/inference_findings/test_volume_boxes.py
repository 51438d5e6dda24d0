"""Boxes in a volume, brought to the slices of the series that they were found in."""

import numpy as np
import pytest

from inference.algorithms.checked_boxes import ImageBoxes
from inference.algorithms.segmentation_manifest import Preprocessing
from inference.findings.boxes import Box, surest
from inference.findings.volume_boxes import on_slices
from inference.imaging.geometry import Geometry
from inference.imaging.resampling import GridMap, grid_map

# A sagittal series of 10 slices 4 mm apart with 20 rows of 0.5 mm and 30 columns of 1 mm: slices run to the left of the
# patient, rows to the feet, columns to the back.
AFFINE = np.array([[4.0, 0, 0, 0], [0, 0, 1, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
SERIES = Geometry((10, 20, 30), AFFINE, "1.2")


def _on_slices(mapping: GridMap, *boxes: list[float]) -> list[list[tuple[float, ...]]]:
    count = len(boxes)
    found = ImageBoxes(np.array(boxes, float).reshape(count, 6), np.full(count, 0.9), np.zeros(count, np.int64))
    return [
        [(one.index, one.top, one.left, one.bottom, one.right) for one in chain]
        for chain in on_slices(found, mapping).get(0, [])
    ]


@pytest.mark.parametrize(
    ("low", "high", "slices"),
    [(2, 5, [2, 3, 4]), (1.6, 4.6, [2, 3, 4]), (1.6, 2.4, [2]), (2.6, 2.9, [2]), (-3, 0.4, [0]), (9.6, 12, [9])],
)
def test_a_box_is_on_the_slices_whose_middle_it_covers(low: float, high: float, slices: list[int]) -> None:
    """Slice i reaches from i to i + 1; a box between two middles is on the slice it lies in, none beyond the series."""
    (chain,) = _on_slices(grid_map(SERIES, Preprocessing()), [low, 3, 4, high, 8.5, 9])

    assert chain == [(index, 3, 4, 8.5, 9) for index in slices]


def test_a_box_of_another_grid_is_where_its_voxels_are() -> None:
    """Axes are turned, turned round and scaled back: of a grid of 2 mm that runs to the right, the front, the head."""
    mapping = grid_map(SERIES, Preprocessing(orientation="RAS", target_spacing_mm=(2, 2, 2)))
    assert mapping.target_shape == (20, 15, 5)

    # From 4 to 12 mm from the left, 2 to 10 mm from the back, 0 to 4 mm from the feet.
    (chain,) = _on_slices(mapping, [2, 1, 0, 6, 5, 2])

    # Slices 7 and 8 of 0 to 9 from the right; rows from 6 to 10 mm of 10 mm; columns from 20 to 28 mm of 30 mm.
    assert chain == [(7, 12, 20, 20, 28), (8, 12, 20, 20, 28)]


def test_what_lies_beyond_the_series_is_cut_off() -> None:
    """A grid that was rounded up reaches beyond; a box that lies there alone is none."""
    mapping = grid_map(SERIES, Preprocessing(target_spacing_mm=(3, 3, 4)))
    assert mapping.target_shape == (14, 4, 8)

    (chain,) = _on_slices(mapping, [12, 2, 6, 14, 4, 8], [13.5, 0, 0, 14, 1, 1])

    assert chain == [(9, 12, 24, 20, 30)]


def test_a_box_is_shown_in_its_middle() -> None:
    """All of its slices are equally sure; the surest still goes first where they are not."""
    boxes = [Box(index, 0, 0, 4, 4, 0.9) for index in range(3, 8)]

    assert surest(boxes).index == 5
    assert surest([*boxes, Box(8, 0, 0, 4, 4, 0.95)]).index == 8
    assert surest([boxes[0], boxes[4]]).index == 3
