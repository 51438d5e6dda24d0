"""A region with holes becomes one outline that encloses exactly its pixels."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from inference.evidence.keyhole import without_holes
from inference.evidence.outline import contours

Mask = npt.NDArray[np.bool_]

NESTED = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 1, 0, 1, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ],
    np.bool_,
)


def noise(seed: int) -> Mask:
    """A small random mask."""
    random = np.random.default_rng(seed)
    return random.random(random.integers(1, 14, 2)) < random.choice([0.4, 0.6, 0.8, 0.95])


def windings(points: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """How often a closed outline goes around the centre of each pixel, clockwise."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    count = np.zeros(shape, np.intp)
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        if x1 == x2:
            count += ((y1 > row).astype(int) - (y2 > row)) * (column > x1)
    return count


@pytest.mark.parametrize("mask", [NESTED, *map(noise, range(200))])
def test_an_outline_goes_once_around_each_of_its_pixels_and_not_around_a_hole(mask: Mask) -> None:
    """There is one closed outline per connected part; each pixel is inside once, whoever counts, and no other is."""
    outlines = without_holes(mask)

    assert len(outlines) == ndimage.label(mask)[1]
    assert all((one[0] == one[-1]).all() for one in outlines)
    np.testing.assert_array_equal(np.abs(sum(windings(one, mask.shape) for one in outlines)), mask)


def test_a_channel_crosses_the_region_only() -> None:
    """Each level piece between rows' borders lies on pixels of the mask and is gone along in both directions."""
    mask = np.ones((9, 13), np.bool_)
    mask[4, 1::2] = False
    [outline] = without_holes(mask)

    channels = [(a, b) for a, b in itertools.pairwise(outline) if a[1] % 1 == b[1] % 1 == 0.5]
    level = [(a, b) for a, b in channels if a[0] != b[0]]
    assert level
    assert {(*a, *b) for a, b in level} == {(*b, *a) for a, b in level}
    for a, b in level:
        left, right = sorted((int(a[0]), int(b[0])))
        assert mask[int(a[1]), left:right].all()


def test_a_mask_without_holes_keeps_its_contours() -> None:
    """Nothing is added where nothing has to be joined."""
    mask = np.zeros((6, 6), np.bool_)
    mask[1:3, 1:3] = mask[4, 4] = True

    for one, contour in zip(without_holes(mask), contours(mask), strict=True):
        np.testing.assert_array_equal(one, contour.points)
