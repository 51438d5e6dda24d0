"""What the positions of images say of those that are not there."""

import math
import random
from collections.abc import Iterable

import pytest

from storage.domain.slice_positions import Slice, missing_slices

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_TILTED = (1.0, 0.0, 0.0, 0.0, math.cos(0.3), math.sin(0.3))


def _stack(heights: Iterable[float], orientation: tuple[float, ...] = _AXIAL) -> list[Slice]:
    a, b, c, d, e, f = orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return [Slice(tuple(height * part for part in normal), orientation) for height in heights]


@pytest.mark.parametrize(
    ("heights", "missing"),
    [
        pytest.param(range(20), 0, id="whole"),
        pytest.param([z for z in range(20) if z != 7], 1, id="one-hole"),
        pytest.param([z for z in range(20) if z not in (7, 8, 12)], 3, id="two-holes"),
        pytest.param([z for z in range(20) for _ in range(2)], 0, id="two-phases"),
        pytest.param([z for z in range(20) for _ in range(2)][:-1], 1, id="a-phase-short-of-one"),
        pytest.param([z for z in range(20) if z != 7 for _ in range(2)], 2, id="two-phases-with-a-hole"),
        pytest.param([*range(20), 5], 0, id="an-image-sent-under-two-uids"),
        pytest.param(range(5), 0, id="too-few"),
        pytest.param([0, 1, 3], 0, id="too-few-with-a-hole"),
        pytest.param([z * z for z in range(20)], 0, id="uneven"),
        pytest.param([z for z in range(40) if z % 10 > 4], 15, id="packages-of-five"),
        pytest.param([0] * 30, 0, id="a-series-over-time"),
        pytest.param([*range(20), math.nan], 0, id="no-number"),
        pytest.param([], 0, id="nothing"),
    ],
)
def test_a_hole_in_a_regular_stack_is_counted(heights: Iterable[float], missing: int) -> None:
    """Holes and short positions count, in whatever order and tilt; irregular or few positions say nothing."""
    for orientation in (_AXIAL, _TILTED):
        slices = _stack(heights, orientation)
        random.Random(7).shuffle(slices)
        assert missing_slices(slices) == missing


def test_each_orientation_is_a_stack_of_its_own() -> None:
    """A localizer in three directions has no holes because of the others."""
    whole = [*_stack(range(10)), *_stack([0.5, 100, 210], _TILTED)]

    assert missing_slices(whole) == 0
    assert missing_slices([*whole, *_stack([z for z in range(30) if z != 3], (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))]) == 1
