"""A series as one array of numbers with a place in the patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.imaging.geometry import Geometry, order_slices
from inference.imaging.series_reader import check_budget, read_pixels
from storage.domain.study import StoredInstance


@dataclass(frozen=True)
class Volume:
    """Values after the Modality LUT (PS3.3 section C.11.1), as (slice, row, column).

    ``headers`` are the source data sets without pixel data, in the order of the first axis.
    """

    values: NDArray[np.float32]
    geometry: Geometry
    headers: tuple[Dataset, ...]

    @property
    def modality(self) -> str:
        """The modality of the series, such as ``MR``."""
        return str(self.headers[0].Modality)


def load_volume(instances: dict[str, StoredInstance], headers: list[Dataset]) -> Volume:
    """Decode a series whose headers were read; ``instances`` are found by SOP Instance UID.

    Raises:
        UnusableInput: as ``order_slices``, ``check_budget`` and ``read_pixels``; ``modality-lut`` when values need
            a table; ``not-finite`` when the rescaled values are no numbers.
    """
    ordered, geometry = order_slices(headers)
    check_budget(ordered)
    values = np.empty(geometry.shape, np.float32)
    for index, header in enumerate(ordered):
        slope, intercept = _rescale(header)
        values[index] = read_pixels(instances[str(header.SOPInstanceUID)])
        values[index] *= slope
        values[index] += intercept
    if not np.isfinite(values).all():
        raise UnusableInput("not-finite", "The rescaled pixel values of the series are not all numbers.")
    return Volume(values, geometry, tuple(ordered))


def _rescale(header: Dataset) -> tuple[np.float32, np.float32]:
    if header.get("ModalityLUTSequence"):
        raise UnusableInput("modality-lut", "The series needs a Modality LUT table, which this release does not apply.")
    try:
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        return np.float32(1 if slope is None else slope), np.float32(0 if intercept is None else intercept)
    except (TypeError, ValueError):
        raise UnusableInput("unreadable", "Rescale Slope or Intercept is malformed in a slice.") from None
