"""The outlines of a region on one image, as closed polylines along its pixels' edges (PS3.3 section C.18.6)."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.evidence.segment_findings import Areas

Mask = npt.NDArray[np.bool_]
Polyline = npt.NDArray[np.float32]

MOST_POINTS = 8000  # in one line; Graphic Data (0070,0022) of VR FL ends at 65534 bytes

_Corners = npt.NDArray[np.intp]


class Contour(NamedTuple):
    """One closed outline as (column, row) points, the first one repeated; a hole has the region around it."""

    points: Polyline
    is_hole: bool


def largest_slice(areas: Areas) -> int:
    """The slice on which a segment covers most pixels; the first of several equal ones."""
    return int(np.argmax(areas))


def outline(mask: Mask) -> Polyline:
    """The outer edge of the largest connected part of a mask.

    Raises:
        ValueError: the mask is empty.
    """
    return next(one.points for one in contours(_largest_part(mask)) if not one.is_hole)


def thinned(line: Polyline) -> Polyline:
    """The closed line, or one that it hardly leaves where it has too many points for one: still closed, less jagged."""
    tolerance = 1.0  # pixels, by which the line may move
    corners = line[:-1]
    while len(corners) >= MOST_POINTS:
        corners = np.asarray(cv2.approxPolyDP(line[:-1], tolerance, closed=True), np.float32).reshape(-1, 2)
        tolerance *= 2
    return np.concatenate((corners, corners[:1]))


def contours(mask: Mask) -> list[Contour]:
    """Every edge of a mask, of its parts and of the holes in them, from top to bottom.

    Coordinates have their origin at the top left corner of the top left pixel, so the centre of pixel (0, 0) is
    at (0.5, 0.5), and the outlines run exactly along the pixels' edges. Pixels that share only a corner are not
    connected. Outer edges start at their top left corner and run clockwise, holes as well.
    """
    rows, columns, is_second = _corners(mask)
    if not rows.size:
        return []
    along_row = _partners(np.lexsort((is_second, columns, rows)))
    # Of two outlines that meet in a corner the first is the one that goes west; it may be the one that goes south.
    southern = is_second ^ _falls(mask, rows, columns)
    along_column = _partners(np.lexsort((southern, rows, columns)))
    starts = np.lexsort((is_second, columns, rows)).tolist()
    seen = np.zeros(rows.size, np.bool_)
    found = []
    for start in starts:
        if seen[start]:
            continue
        loop, corner = [start], along_row[start]
        while corner != start:
            loop.append(corner)
            corner = (along_column if len(loop) % 2 == 0 else along_row)[corner]
        seen[loop] = True
        points = np.array([(columns[one], rows[one]) for one in (*loop, start)], np.float32)
        found.append(Contour(points, not _is_set(mask, int(rows[start]), int(columns[start]))))
    return found


def frame_outline(rows: int, columns: int) -> Polyline:
    """The border of a whole image as a closed polyline."""
    return box_outline(0, 0, rows, columns)


def box_outline(top: float, left: float, bottom: float, right: float) -> Polyline:
    """The border of a box of pixels as a closed polyline."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], np.float32)


def _corners(mask: Mask) -> tuple[_Corners, _Corners, npt.NDArray[np.bool_]]:
    """Rows and columns of the pixel corners where an outline turns; one where two outlines meet stands twice."""
    padded = np.pad(mask, 1).astype(np.int8)
    northwest, northeast = padded[:-1, :-1], padded[:-1, 1:]
    southwest, southeast = padded[1:, :-1], padded[1:, 1:]
    turns = (northwest ^ northeast ^ southwest ^ southeast) == 1
    meets = (northwest == southeast) & (northeast == southwest) & (northwest != northeast)
    rows, columns = np.nonzero(turns)
    meeting_rows, meeting_columns = np.nonzero(meets)
    second = np.zeros(rows.size + 2 * meeting_rows.size, np.bool_)
    second[rows.size + meeting_rows.size :] = True
    return (
        np.concatenate((rows, meeting_rows, meeting_rows)),
        np.concatenate((columns, meeting_columns, meeting_columns)),
        second,
    )


def _falls(mask: Mask, rows: _Corners, columns: _Corners) -> npt.NDArray[np.bool_]:
    """Whether the pixels that meet in a corner lie northeast and southwest of it."""
    padded = np.pad(mask, 1)
    northeast, southwest = padded[rows, columns + 1], padded[rows + 1, columns]
    return northeast & southwest & ~padded[rows, columns] & ~padded[rows + 1, columns + 1]


def _partners(order: _Corners) -> list[int]:
    """In this order each two corners are the ends of one straight piece."""
    partner = np.empty(order.size, np.intp)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    listed: list[int] = partner.tolist()
    return listed


def _is_set(mask: Mask, row: int, column: int) -> bool:
    return row < mask.shape[0] and column < mask.shape[1] and bool(mask[row, column])


def _largest_part(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    if count == 0:
        raise ValueError("An empty mask has no outline.")
    sizes = np.bincount(parts.reshape(-1))
    sizes[0] = 0
    return np.asarray(parts == np.argmax(sizes))
