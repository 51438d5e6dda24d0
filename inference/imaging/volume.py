"""A series as one array of numbers with a place in the patient."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.imaging.frame_reader import ImageValues
from inference.imaging.geometry import Geometry, order_slices
from inference.imaging.image_series import bright_is_high, pixel_spacing
from inference.imaging.modality_lut import refuse_some_unscaled
from inference.imaging.series_reader import check_budget
from inference.imaging.voi_lut import as_displayed
from storage.domain.study import StoredInstance


@dataclass(frozen=True)
class Volume:
    """Values after the Modality LUT (PS3.3 section C.11.1), as (slice, row, column).

    ``headers`` are the source data sets without pixel data, in the order of the first axis. A projection radiograph
    is a volume of one slice; its geometry says how far apart its pixels are on the detector, and nothing of a patient.
    """

    values: NDArray[np.float32]
    geometry: Geometry
    headers: tuple[Dataset, ...]

    @property
    def modality(self) -> str:
        """The modality of the series, such as ``MR``."""
        return str(self.headers[0].Modality)


def load_volume(
    instances: dict[str, StoredInstance], headers: list[Dataset], geometry: Geometry | None = None
) -> Volume:
    """Decode a series whose headers were read; ``instances`` are found by SOP Instance UID.

    ``geometry`` is given with headers that ``order_slices`` has put in order already.

    Raises:
        UnusableInput: as ``order_slices``, ``check_budget``, ``refuse_some_unscaled`` and ``ImageValues.of``.
    """
    if geometry is None:
        headers, geometry = order_slices(headers)
    check_budget(headers)
    refuse_some_unscaled(headers)
    values = np.empty(geometry.shape, np.float32)
    ImageValues(instances).fill(headers, values)
    return Volume(values, geometry, tuple(headers))


def load_projection(instances: dict[str, StoredInstance], header: Dataset) -> Volume:
    """Decode one projection radiograph; where its pixels are of unknown size, they count as 1 mm apart.

    Raises:
        UnusableInput: as ``check_budget`` and ``read_values``.
    """
    check_budget([header])
    values = ImageValues(instances).of(header)[np.newaxis]
    rows, columns = pixel_spacing(header) or (1.0, 1.0)
    shape = (1, values.shape[1], values.shape[2])
    return Volume(values, Geometry(shape, np.diag([1.0, rows, columns, 1.0]), ""), (header,))


def as_seen(volume: Volume, voi: str = "none") -> Volume:
    """The volume with values in which bright things are bright, whatever its images' photometric interpretation.

    With ``voi`` "first" they are what its images show at first.

    Raises:
        UnusableInput: as ``as_displayed``.
    """
    seen = as_displayed if voi == "first" else bright_is_high
    pairs = zip(volume.values, volume.headers, strict=True)
    return replace(volume, values=np.stack([seen(values, header) for values, header in pairs]))
