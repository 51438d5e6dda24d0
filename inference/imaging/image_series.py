"""A series as images one after the other, which need not lie in a volume: slices, or projection radiographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.imaging.frame_reader import ImageValues
from inference.imaging.frames import frame_number
from inference.imaging.geometry import Plane, image_places, named_plane
from inference.imaging.series_reader import check_budget
from inference.stages import work_on_instance
from storage.domain.study import StoredInstance


@dataclass(frozen=True)
class ImageSeries:
    """The images of a series in reading order; pixels are read when they are asked for, one image at a time."""

    headers: tuple[Dataset, ...]
    instances: dict[str, StoredInstance]  # by SOP Instance UID

    def values(self, index: int) -> NDArray[np.float32]:
        """The values of one image after the Modality LUT, as stored: in MONOCHROME1 low values are bright.

        Raises:
            UnusableInput: as ``ImageValues.of``.
        """
        header = self.headers[index]
        work_on_instance(str(header.SOPInstanceUID))
        return self._values.of(header)

    @cached_property
    def _values(self) -> ImageValues:
        return ImageValues(self.instances)


def open_series(instances: dict[str, StoredInstance], headers: Sequence[Dataset]) -> ImageSeries:
    """A series whose headers were read and ordered.

    Raises:
        UnusableInput: as ``check_budget``.
    """
    check_budget(headers)
    return ImageSeries(tuple(headers), instances)


def bright_is_high(values: NDArray[np.float32], header: Dataset) -> NDArray[np.float32]:
    """Values that grow with brightness: those of a MONOCHROME1 image mirrored within their own range."""
    if header.get("PhotometricInterpretation") != "MONOCHROME1":
        return values
    mirrored: NDArray[np.float32] = (values.min() + values.max()) - values
    return mirrored


@dataclass(frozen=True)
class Layout:
    """What the headers of a series state of its geometry; ``None`` where they state nothing or contradict themselves.

    ``slice_spacing_mm`` is the usual distance of neighbours, ``pixel_spacing_mm`` the largest that any image states,
    ``coverage_mm`` the length from the first slice to the last, both included.
    """

    plane: Plane | None
    slice_spacing_mm: float | None
    pixel_spacing_mm: float | None
    coverage_mm: float | None = None


def order_images(headers: Sequence[Dataset]) -> tuple[list[Dataset], Layout]:
    """Put images into reading order and say what is known of their geometry.

    Parallel images with a place in the patient stand in the order of their places along the normal; all others in
    the order of Instance Number (0020,0013), and of frame numbers within an instance. Images at the same place, with
    gaps or of different sizes are no fault here, because each image is read by itself.
    """
    spacing = _pixel_spacing_mm(headers)
    by_number = sorted(headers, key=_number)
    try:
        places, normal = image_places(by_number)
    except UnusableInput:
        return by_number, Layout(None, None, spacing)
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    apart = float(np.median(steps)) if len(steps) else None
    covered = float(places.max() - places.min()) + apart if apart is not None else None
    return [by_number[index] for index in order], Layout(named_plane(normal), apart, spacing, covered)


def _number(header: Dataset) -> tuple[bool, int, str, int]:
    uid, frame = str(header.SOPInstanceUID), frame_number(header) or 0
    try:
        number = int(header.get("InstanceNumber"))
    except (TypeError, ValueError):
        return True, 0, uid, frame
    return False, number, uid, frame


def pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """Distances of rows and of columns in mm, in the patient or, on a radiograph, on the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            rows, columns = (float(value) for value in header.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if np.isfinite([rows, columns]).all() and min(rows, columns) > 0:
            return rows, columns
    return None


def _pixel_spacing_mm(headers: Sequence[Dataset]) -> float | None:
    stated = [spacing for spacing in map(pixel_spacing, headers) if spacing is not None]
    return max(max(spacing) for spacing in stated) if len(stated) == len(headers) else None
