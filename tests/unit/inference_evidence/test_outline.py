"""Outlines as SCOORD wants them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.evidence.outline import contours, frame_outline, largest_slice, outline


def test_a_box_is_outlined_along_its_pixel_edges() -> None:
    """A known box comes back as its four corners, and its centre is the mean of its pixel centres (R7)."""
    mask = np.zeros((20, 30), np.bool_)
    mask[4:9, 10:22] = True

    points = outline(mask)

    assert points.tolist() == [[10, 4], [22, 4], [22, 9], [10, 9], [10, 4]]
    rows, columns = np.nonzero(mask)
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    assert np.abs(center - [columns.mean() + 0.5, rows.mean() + 0.5]).max() < 1e-6


def test_a_single_pixel_at_the_corner_of_the_image() -> None:
    """The outline of the first pixel stays inside the image."""
    mask = np.zeros((5, 5), np.bool_)
    mask[0, 0] = True

    assert outline(mask).tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def test_parts_that_touch_at_a_corner_are_two() -> None:
    """Of two parts that share only a corner, the larger one is outlined."""
    mask = np.zeros((6, 6), np.bool_)
    mask[0:2, 0:2] = True
    mask[2:5, 2:5] = True

    assert outline(mask).tolist() == [[2, 2], [5, 2], [5, 5], [2, 5], [2, 2]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=6, max_size=6))
def test_the_outline_separates_inside_from_outside(cells: list[list[bool]]) -> None:
    """For any mask, the outline is closed, encloses the largest part and nothing that is connected to the border."""
    mask = np.array(cells, np.bool_)
    if not mask.any():
        return
    parts, _ = ndimage.label(mask)
    part = parts == int(np.argmax(np.bincount(parts.ravel())[1:])) + 1

    points = outline(mask)

    assert points[0].tolist() == points[-1].tolist()
    inside = _inside(points, mask.shape)
    assert inside[part].all()
    assert not inside[~ndimage.binary_fill_holes(part)].any()


def _inside(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Even-odd rule at the pixel centres: how many vertical edges lie to the right."""
    inside = np.zeros(shape, np.bool_)
    for (x0, y0), (x1, y1) in pairwise(points):
        for row in range(int(min(y0, y1)), int(max(y0, y1))):
            inside[row, : int(x0)] ^= x0 == x1
    return inside


def test_an_empty_mask_has_no_outline() -> None:
    """Nothing to outline is a programming error, not an empty polyline."""
    with pytest.raises(ValueError, match="empty mask"):
        outline(np.zeros((3, 3), np.bool_))


def test_the_largest_slice_is_found() -> None:
    """The slice with most pixels wins, the first of equal ones."""
    assert largest_slice(np.array([4, 8, 0, 8])) == 1


def test_the_border_of_an_image_is_closed() -> None:
    """The whole image is given by its four corners and the first one again."""
    assert frame_outline(24, 32).tolist() == [[0, 0], [32, 0], [32, 24], [0, 24], [0, 0]]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.data())
def test_the_contours_enclose_every_pixel_of_the_mask_and_no_other(
    rows: int, columns: int, data: st.DataObject
) -> None:
    """Parts less holes cover the mask exactly, also where parts or holes touch at corners."""
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    mask = mask.reshape(rows, columns)

    covered = np.zeros(mask.shape, int)
    for points, is_hole in contours(mask):
        assert points[0].tolist() == points[-1].tolist()
        covered += _inside(points, mask.shape) * (-1 if is_hole else 1)

    assert (covered == mask).all()


def _inside(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixel centres from which a ray to the right crosses the outline an odd number of times."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 == x1:
            inside ^= (y > min(y0, y1)) & (y < max(y0, y1)) & (x < x0)
    return inside
