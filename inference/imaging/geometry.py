"""Where slices lie in the patient: their order, their spacing and the way from voxels to millimetres."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput

Plane = Literal["axial", "coronal", "sagittal", "oblique"]

# What is written for all slices is right for the first: at the far corner of a matrix of 512, within 0.05 mm.
_SAME_DIRECTION = 1e-4  # largest difference of direction cosines within one series
_SMALLEST_PIXEL_MM = 1e-4  # below is no image of a patient, and nothing can be counted in it
_SAME_SPACING_MM = 1e-4  # largest difference of Pixel Spacing within one series
_SAME_PLACE_MM = 1e-2  # slices closer than this are at the same place
_UNEVEN = 0.05  # of the slice spacing may a slice be away from its even place, or
_ROUNDING_MM = 0.11  # this much, which is what scanners that round positions to 0.1 mm produce
_GAP = 1.5  # times the usual spacing: a slice is missing
_FARTHEST_MM = 1e6  # no patient is a kilometre from any origin, and beyond it places lose their hundredths
_TILT = np.cos(np.deg2rad(1))  # a stack that leans more than one degree is sheared
_ALONG_AXIS = np.cos(np.deg2rad(25))  # a normal within 25 degrees of an axis names the plane


@dataclass(frozen=True)
class Geometry:
    """The grid of a series.

    ``affine`` takes (slice, row, column, 1) to the patient's coordinates in mm, LPS (PS3.3 section C.7.6.2.1.1).
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    frame_of_reference_uid: str

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distances of neighbouring voxel centres between slices, rows and columns."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @cached_property
    def voxel_volume_mm3(self) -> float:
        """The volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def plane(self) -> Plane:
        """The anatomical plane of the slices."""
        return named_plane(self.affine[:3, 0] / self.spacing_mm[0])


def named_plane(normal: NDArray[np.float64]) -> Plane:
    """The anatomical plane of a unit normal; oblique when that is more than 25 degrees from every axis."""
    along = np.abs(normal)
    names: tuple[Plane, Plane, Plane] = ("sagittal", "coronal", "axial")
    nearest = int(np.argmax(along))
    return names[nearest] if along[nearest] >= _ALONG_AXIS else "oblique"


def image_places(headers: Sequence[Dataset]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where parallel images lie along their common normal, in mm, and that unit normal.

    Raises:
        UnusableInput: ``missing-geometry`` or ``mixed-orientation``.
    """
    row_direction, column_direction = _one_orientation(headers)
    normal = np.cross(row_direction, column_direction)
    return _numbers(headers, "ImagePositionPatient", 3) @ normal, normal


def order_slices(headers: Sequence[Dataset]) -> tuple[list[Dataset], Geometry]:
    """Put images, each an instance or a frame of one, into the order of their places along the slice normal.

    The order is that of the projection of Image Position (Patient) on the normal, row direction times column
    direction; Instance Number and Slice Location are not believed.

    Raises:
        UnusableInput: ``too-few-slices``, ``missing-geometry``, ``mixed-frame-of-reference``, ``mixed-size``,
            ``mixed-orientation``, ``mixed-spacing``, ``duplicate-positions``, ``gap``, ``uneven-spacing`` or
            ``tilted-stack``.
    """
    if len(headers) < 2:
        raise UnusableInput("too-few-slices", "The series has fewer than two slices, so it is no volume.")
    frame_of_reference_uid = _one_frame_of_reference(headers)
    rows, columns = _one_size(headers)
    row_direction, column_direction = _one_orientation(headers)
    row_spacing, column_spacing = _one_pixel_spacing(headers)
    positions = _numbers(headers, "ImagePositionPatient", 3)
    normal = np.cross(row_direction, column_direction)
    places = positions @ normal
    order = np.argsort(places, kind="stable")
    _check_spacing(places[order])
    step = _slice_step(positions[order], normal)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = column_direction * row_spacing
    affine[:3, 2] = row_direction * column_spacing
    affine[:3, 3] = positions[order[0]]
    geometry = Geometry((len(headers), rows, columns), affine, frame_of_reference_uid)
    return [headers[index] for index in order], geometry


def _one_frame_of_reference(headers: Sequence[Dataset]) -> str:
    uids = {str(header.get("FrameOfReferenceUID", "")) for header in headers}
    if len(uids) > 1:
        raise UnusableInput(
            "mixed-frame-of-reference", "The slices do not share one frame of reference; send one acquisition a series."
        )
    (uid,) = uids
    if not uid:
        raise _missing("FrameOfReferenceUID")
    return uid


def _one_size(headers: Sequence[Dataset]) -> tuple[int, int]:
    sizes = {(header.get("Rows"), header.get("Columns")) for header in headers}
    if len(sizes) > 1:
        raise UnusableInput("mixed-size", "The slices differ in Rows or Columns, so they are no volume.")
    ((rows, columns),) = sizes
    if not (isinstance(rows, int) and isinstance(columns, int) and rows > 0 and columns > 0):
        raise _missing("Rows and Columns")
    return rows, columns


def _one_orientation(headers: Sequence[Dataset]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row (towards the next column) and along a column (towards the next row)."""
    cosines = _numbers(headers, "ImageOrientationPatient", 6)
    if np.abs(cosines - cosines[0]).max() > _SAME_DIRECTION:
        raise UnusableInput("mixed-orientation", "The slices do not lie in parallel, so they are no volume.")
    row, column = cosines[0][:3], cosines[0][3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.99 or max(lengths) > 1.01 or abs(np.dot(row, column)) > 0.01:
        raise _missing("ImageOrientationPatient")
    return row / lengths[0], column / lengths[1]


def _one_pixel_spacing(headers: Sequence[Dataset]) -> tuple[float, float]:
    spacings = _numbers(headers, "PixelSpacing", 2)
    if np.abs(spacings - spacings[0]).max() > _SAME_SPACING_MM:
        raise UnusableInput("mixed-spacing", "The slices differ in Pixel Spacing, so they are no volume.")
    if spacings[0].min() < _SMALLEST_PIXEL_MM:
        raise _missing("PixelSpacing")
    return float(spacings[0][0]), float(spacings[0][1])


def _numbers(headers: Sequence[Dataset], keyword: str, count: int) -> NDArray[np.float64]:
    """The values of one attribute, a line per header."""
    lines: list[list[float]] = []
    read: object = None
    for header in headers:
        try:
            values = header.get(keyword)
            alike = lines and values is read  # headers share what they say alike
            line = lines[-1] if alike else [float(value) for value in values or ()]
        except (TypeError, ValueError):
            line = []
        if len(line) != count:
            raise _missing(keyword)
        lines.append(line)
        read = values
    numbers = np.array(lines, np.float64)
    if not (np.abs(numbers) < _FARTHEST_MM).all():  # nor where it is no number
        raise _missing(keyword)
    return numbers


def _missing(keyword: str) -> UnusableInput:
    return UnusableInput(
        "missing-geometry", f"{keyword} is missing or malformed in a slice, so its place in the patient is unknown."
    )


def _check_spacing(places: NDArray[np.float64]) -> None:
    steps = np.diff(places)
    usual = float(np.median(steps))
    if steps.min() < _SAME_PLACE_MM:
        raise UnusableInput(
            "duplicate-positions", "Two slices lie at the same place; a series of one volume has one slice per place."
        )
    if steps.max() > _GAP * usual:
        missing = round(float(np.sum(steps[steps > _GAP * usual] / usual - 1)))
        raise UnusableInput("gap", f"About {missing} slices are missing between others; send the whole series again.")
    even = np.linspace(places[0], places[-1], len(places))
    if np.abs(places - even).max() > max(_UNEVEN * usual, _ROUNDING_MM):
        raise UnusableInput("uneven-spacing", "The slices are not evenly spaced, so volumes would be wrong.")


def _slice_step(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector from one slice to the next."""
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    spacing = float(np.linalg.norm(step))
    straight = positions[0] + np.arange(len(positions))[:, None] * step
    sideways = (positions - straight) - ((positions - straight) @ normal)[:, None] * normal
    if step @ normal < _TILT * spacing or np.linalg.norm(sideways, axis=1).max() > max(spacing, 1.0):
        raise UnusableInput("tilted-stack", "The slices are shifted against each other, as with a tilted gantry.")
    return step
