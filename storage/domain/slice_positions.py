"""How many images a series lacks by the positions of those it has (PS3.3 section C.7.6.2.1.1).

Only a series that is regular but for holes says anything: the inside of a stack shows that a slice is missing, its ends
do not. Frames of multi-frame images are none of this.
"""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_FEWEST = 6  # positions; fewer are no stack
_SAME_MM = 0.01  # positions nearer than this are one
_UNEVEN = 0.1  # of the usual distance, by which a distance may differ
_REGULAR = 0.8  # of the distances are the usual one
_DIGITS = 3  # of direction cosines, which scanners round differently


class Slice(NamedTuple):
    """Image Position (Patient), in mm, and Image Orientation (Patient) of one image, in the patient's coordinates."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]


def missing_slices(slices: Iterable[Slice]) -> int:
    """How many images the stacks of one series lack; 0 also where its positions are too few or too irregular to say.

    Images of one orientation are one stack. A stack lacks those of its holes, and, where most of its positions have the
    same number of images (phases, echoes), those that the others have too few of.
    """
    stacks: dict[tuple[float, ...], list[float]] = {}
    for one in slices:
        if len(one.position) == 3 and len(one.orientation) == 6:
            stacks.setdefault(tuple(round(value, _DIGITS) for value in one.orientation), []).append(_along_normal(one))
    return sum(_lacking(along) for along in stacks.values())


def _along_normal(one: Slice) -> float:
    a, b, c, d, e, f = one.orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return sum(x * y for x, y in zip(one.position, normal, strict=True))


def _lacking(along: Sequence[float]) -> int:
    positions, images = _distinct(along)
    if len(positions) < _FEWEST:
        return 0
    distances = [after - before for before, after in itertools.pairwise(positions)]
    usual = statistics.median(distances)
    steps = [distance / usual for distance in distances]
    whole = [round(step) for step in steps]
    if any(abs(step - number) > _UNEVEN * number for step, number in zip(steps, whole, strict=True)):
        return 0
    if whole.count(1) < _REGULAR * len(whole):
        return 0
    each, often = Counter(images).most_common(1)[0]
    if often < _REGULAR * len(images) or max(images) > each:
        each = 1  # no number of images that every position ought to have
    return each * sum(number - 1 for number in whole) + sum(max(0, each - number) for number in images)


def _distinct(along: Iterable[float]) -> tuple[list[float], list[int]]:
    """The different positions in order, and how many images each has."""
    positions: list[float] = []
    images: list[int] = []
    for value in sorted(along):
        if not math.isfinite(value):
            continue
        if positions and value - positions[-1] < _SAME_MM:
            images[-1] += 1
        else:
            positions.append(value)
            images.append(1)
    return positions, images
