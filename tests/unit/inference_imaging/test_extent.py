"""Boxes of labels, beside what SciPy finds voxel by voxel."""

import numpy as np
import pytest
from scipy import ndimage

from inference.imaging.extent import boxes, extent


@pytest.mark.parametrize("seed", range(20))
def test_boxes_are_those_of_scipy(seed: int) -> None:
    """Wherever the labels lie, at the edges too, and however many there are."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((9, 8, 7), np.uint8)
    for _ in range(seed % 4):
        place = tuple(slice(first := int(generator.integers(0, size)), first + 3) for size in labels.shape)
        labels[place] = generator.integers(1, 256)

    assert boxes(labels) == ndimage.find_objects(labels, max_label=255)


def test_the_extent_holds_every_label_and_no_more() -> None:
    """From the first to the last voxel in each axis; nothing where there is none."""
    labels = np.zeros((6, 5, 4), np.uint8)
    assert extent(labels) is None
    labels[1, 4, 0], labels[3, 2, 2] = 7, 1

    assert extent(labels) == (slice(1, 4), slice(2, 5), slice(0, 3))
    assert extent(labels.transpose(2, 0, 1)[::-1]) == (slice(1, 4), slice(1, 4), slice(2, 5))
