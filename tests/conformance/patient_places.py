"""Values by their place in the patient, so that readers with grids of their own can be compared."""

from collections.abc import Sequence

import nibabel
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

Places = dict[tuple[float, ...], float]


def places_in_series(sources: Sequence[Dataset], values: npt.NDArray[np.float32]) -> Places:
    """Each value other than 0 of (slice, row, column) at its place, by PS3.3 equation C.7.6.2.1-1."""
    found: Places = {}
    for image, plane in zip(sources, values, strict=True):
        along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = np.nonzero(plane)
        points = (
            np.array(image.ImagePositionPatient, float)
            + columns[:, None] * float(image.PixelSpacing[1]) * along_row
            + rows[:, None] * float(image.PixelSpacing[0]) * along_column
        )
        found |= _rounded(points, plane[plane != 0])
    return found


def places_in_nifti(image: nibabel.Nifti1Image) -> Places:
    """Each value other than 0 at its place; NIfTI's axes run the other way left to right and front to back."""
    values = np.asarray(image.dataobj)
    points = np.argwhere(values) @ image.affine[:3, :3].T + image.affine[:3, 3]
    return _rounded(points * (-1, -1, 1), values[values != 0])


def _rounded(points: npt.NDArray[np.float64], values: npt.NDArray[np.float32]) -> Places:
    return {
        tuple(map(float, point)): round(float(value), 5)
        for point, value in zip(np.round(points, 2) + 0.0, values, strict=True)
    }
