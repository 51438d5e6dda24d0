"""The outline of a region on one image, as a closed polyline for SCOORD (PS3.3 section C.18.6)."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.evidence.segment_findings import Areas

Mask = npt.NDArray[np.bool_]
Polyline = npt.NDArray[np.float32]

# Walking along the pixel edges with the region on the right: right, down, left, up as (column, row).
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def largest_slice(areas: Areas) -> int:
    """The slice on which a segment covers most pixels; the first of several equal ones."""
    return int(np.argmax(areas))


def outline(mask: Mask) -> Polyline:
    """The outer edge of the largest connected part of a mask, as (column, row) points, the first one repeated.

    Coordinates have their origin at the top left corner of the top left pixel, so the centre of pixel (0, 0) is
    at (0.5, 0.5), and the outline runs exactly along the pixels' edges.

    Raises:
        ValueError: the mask is empty.
    """
    part = np.pad(_largest_part(mask), 1)
    row, column = (int(index[0]) for index in np.nonzero(part))
    start = (column, row)
    points = [start]
    position, heading = start, 0
    while True:
        position = (position[0] + _STEPS[heading][0], position[1] + _STEPS[heading][1])
        turned = _next_heading(part, position, heading)
        if turned != heading:
            points.append(position)
            heading = turned
        if position == start and heading == 0:
            break
    return np.array(points, np.float32) - 1  # the padding


def frame_outline(rows: int, columns: int) -> Polyline:
    """The border of a whole image as a closed polyline."""
    return np.array([(0, 0), (columns, 0), (columns, rows), (0, rows), (0, 0)], np.float32)


def _largest_part(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    if count == 0:
        raise ValueError("An empty mask has no outline.")
    sizes = np.bincount(parts.reshape(-1))
    sizes[0] = 0
    return np.asarray(parts == np.argmax(sizes))


def _next_heading(part: Mask, position: tuple[int, int], heading: int) -> int:
    """Turn right where the region ends, go on or turn left where it continues."""
    ahead_right = _pixel_beside(part, position, heading, right=True)
    ahead_left = _pixel_beside(part, position, heading, right=False)
    if not ahead_right:
        return (heading + 1) % 4
    return (heading - 1) % 4 if ahead_left else heading


def _pixel_beside(part: Mask, position: tuple[int, int], heading: int, *, right: bool) -> bool:
    """Whether the pixel ahead of this corner, right or left of the way, belongs to the region."""
    step, side = _STEPS[heading], _STEPS[(heading + (1 if right else -1)) % 4]
    column = position[0] + (step[0] + side[0] - 1) // 2
    row = position[1] + (step[1] + side[1] - 1) // 2
    return bool(part[row, column])
