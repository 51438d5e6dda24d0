"""The longest diameter of a region and the longest one across it, on the slice where it is longest, as RECIST has them.

Both are exact on the convex hull of the region's outline, which runs along the outer edges of its pixels as the
outlines of the evidence do. The line may therefore leave a region that is bent.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

_SAME_MM = 1e-9  # rounding of lengths; the first of equal ones is taken


class Chord(NamedTuple):
    """A straight line on a slice: its ends as (column, row), origin at the top left corner of the image, and length."""

    slice: int
    ends: Points
    length_mm: float


def diameters(mask: Mask, row_spacing_mm: float, column_spacing_mm: float) -> tuple[Chord, Chord] | None:
    """The longest diameter and the longest one perpendicular to it on the same slice; ``None`` of an empty mask.

    ``mask`` is (slice, row, column); of several slices with the longest diameter the first is taken. The second line
    goes where the hull is widest across the first, not through its middle.
    """
    scale = np.array([column_spacing_mm, row_spacing_mm])
    best: tuple[Chord, Points] | None = None
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        hull = hull_corners(mask[index])
        one, other, length = _farthest(hull * scale)
        if best is None or length > best[0].length_mm + _SAME_MM:
            best = Chord(int(index), hull[[one, other]], length), hull
    if best is None:
        return None
    longest, hull = best
    across = _widest_across(hull * scale, longest.ends * scale)
    return longest, Chord(longest.slice, across / scale, float(np.linalg.norm(across[1] - across[0])))


def hull_corners(mask: Mask) -> Points:
    """The corners of the convex hull of a slice's pixels with their area, as (column, row) corners of pixels.

    Only the first and the last pixel of each row can be on it.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    columns = np.concatenate((first, first, last, last))
    corners = np.column_stack((columns, np.concatenate((rows, rows + 1, rows, rows + 1))))
    hull = cv2.convexHull(corners.astype(np.int32)).reshape(-1, 2)
    # From the topmost of its leftmost corners on, so that nothing depends on where OpenCV begins.
    start = int(np.lexsort((hull[:, 1], hull[:, 0]))[0])
    return np.roll(hull, -start, axis=0).astype(np.float64)


def _farthest(hull: Points) -> tuple[int, int, float]:
    """Which two corners lie farthest apart, and how far; a hull on a pixel grid has few corners."""
    distances = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    one, other = np.argwhere(distances >= distances.max() - _SAME_MM)[0]
    return int(one), int(other), float(distances[one, other])


def _widest_across(hull: Points, ends: Points) -> Points:
    """The ends of the longest chord of a convex polygon perpendicular to the line between ``ends``.

    The length of such chords changes evenly between corners, so the longest one goes through a corner.
    """
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    places = hull @ along
    following = np.roll(places, -1)
    best: tuple[float, Points] = (-1.0, np.stack((hull[0], hull[0])))
    for corner, place in zip(hull, places, strict=True):
        crossing = np.flatnonzero((np.minimum(places, following) <= place) & (np.maximum(places, following) >= place))
        points = [corner]
        for edge in crossing:
            begin, end = hull[edge], hull[(edge + 1) % len(hull)]
            apart = following[edge] - places[edge]
            points += (
                [begin, end] if abs(apart) < _SAME_MM else [begin + (end - begin) * (place - places[edge]) / apart]
            )
        gaps = np.linalg.norm(np.array(points) - corner, axis=1)
        farthest = int(np.argmax(gaps))
        if gaps[farthest] > best[0] + _SAME_MM:
            best = float(gaps[farthest]), np.stack((corner, points[farthest]))
    return best[1]
