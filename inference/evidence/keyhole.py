"""Regions with holes as single closed outlines: a channel of no width joins each hole to the edge on its left.

Closed planar contours have no way to say that one lies in another; the keyhole is the Standard's (PS3.3 section
C.8.8.6.3).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inference.evidence.outline import Contour, Mask, Polyline, contours

_Pieces = list[Polyline]


class _Edge(NamedTuple):
    """A vertical piece of an outline: the outline's place, and that of the piece's first point."""

    contour: int
    start: int


class _Channel(NamedTuple):
    """The way from an edge through the centres of a row of pixels to a hole, around it, and back."""

    edge: _Edge
    row: float
    pieces: _Pieces


def without_holes(mask: Mask) -> list[Polyline]:
    """One closed outline per connected part of a mask, the first point repeated; coordinates as ``contours`` has them.

    A channel runs through the centre of the uppermost pixel on the left of its hole, where no outline has a corner.
    """
    # Against the way of the edge around it, so that it is a hole also to who counts windings.
    edges = [Contour(one.points[::-1], True) if one.is_hole else one for one in contours(mask)]
    holes = [place for place, one in enumerate(edges) if one.is_hole]
    if not holes:
        return [one.points for one in edges]
    owner, origin = _vertical_edges(edges, mask), _left_ends(mask)
    channels: dict[int, list[_Channel]] = {}
    # From the right to the left: what leads to a hole is known before the hole is led to, for it lies further right.
    for place in sorted(holes, key=lambda one: -float(edges[one].points[:, 0].min())):
        points = edges[place].points
        start = _leftmost(points)
        row = int(min(points[start, 1], points[start + 1, 1]))
        edge = owner[row, int(origin[row, int(points[start, 0]) - 1])]
        mouth = np.array([[points[start, 0], row + 0.5]], np.float32)
        around = _with_channels(points, channels.get(place, ()), start)
        channels.setdefault(edge.contour, []).append(_Channel(edge, row + 0.5, [mouth, *around, mouth]))
    return [
        np.concatenate(_with_channels(one.points, channels.get(place, ()), None))
        for place, one in enumerate(edges)
        if not one.is_hole
    ]


def _vertical_edges(edges: Sequence[Contour], mask: Mask) -> dict[tuple[int, int], _Edge]:
    """The outline's piece on the left of each pixel that has one there, by the pixel's row and column."""
    owner = {}
    for place, one in enumerate(edges):
        columns, rows = one.points.astype(np.intp).T.tolist()
        for start in range(len(rows) - 1):
            if columns[start] == columns[start + 1]:
                edge = _Edge(place, start)
                for row in range(*sorted(rows[start : start + 2])):
                    if columns[start] < mask.shape[1] and mask[row, columns[start]]:
                        owner[row, columns[start]] = edge
    return owner


def _left_ends(mask: Mask) -> npt.NDArray[np.intp]:
    """For each pixel the column at which the unbroken run of set pixels that ends with it begins."""
    column = np.arange(mask.shape[1])
    return np.maximum.accumulate(np.where(mask, -1, column), axis=1) + 1


def _leftmost(points: Polyline) -> int:
    """The place of the first point of a vertical edge on the left border of an outline."""
    columns = points[:, 0]
    vertical = (columns[:-1] == columns.min()) & (columns[1:] == columns.min())
    return int(np.flatnonzero(vertical)[0])


def _with_channels(points: Polyline, channels: Sequence[_Channel], entered: int | None) -> _Pieces:
    """A closed outline with what hangs on it; or, where it is entered through an edge, open from there to there."""
    if entered is not None:
        points = np.concatenate((points[entered + 1 : -1], points[: entered + 1]))
    shift = 0 if entered is None else entered + 1
    by_start: dict[int, list[_Channel]] = {}
    for channel in channels:
        by_start.setdefault((channel.edge.start - shift) % len(points), []).append(channel)
    pieces: _Pieces = []
    first = 0
    for start in sorted(by_start):
        pieces.append(points[first : start + 1])
        first = start + 1
        falls = points[first, 1] > points[start, 1]
        for channel in sorted(by_start[start], key=lambda one: one.row if falls else -one.row):
            gate = np.array([[points[start, 0], channel.row]], np.float32)
            pieces += [gate, *channel.pieces, gate]
    return [*pieces, points[first:]]
