"""A NIfTI volume as an axial DICOM series, one file per slice, and a mask of it slice by slice in the same order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage, MRImageStorage

from tests.peers.synthetic_series import kept, slice_headers


def axial(volume: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Values as (slice, row, column), feet to head, and the affine from these to LPS in mm."""
    image = nibabel.as_closest_canonical(nibabel.load(volume))
    width, depth, _ = image.shape
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    reverse = flip.copy()
    reverse[:2, 3] = width - 1, depth - 1
    affine = (flip @ image.affine @ reverse)[:, [2, 1, 0, 3]]
    return np.asanyarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0), affine


def write_series(volume: Path, modality: str, folder: Path, attributes: Mapping[str, object]) -> list[Path]:
    """Write a CT (in Hounsfield units) or MR series; the files in slice order."""
    values, affine = axial(volume)
    step, down, across = affine[:3, 0], affine[:3, 1], affine[:3, 2]
    spacing = np.linalg.norm([down, across], axis=1)
    intercept = -1024 if modality == "CT" else 0

    def edit(index: int, ds: Any) -> None:
        ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        ds.Modality, ds.ImageOrientationPatient = modality, [*(across / spacing[1]), *(down / spacing[0])]
        ds.ImagePositionPatient = list(affine[:3, 3] + index * step)
        ds.PixelSpacing, ds.SliceThickness = list(spacing), float(np.linalg.norm(step))
        ds.RescaleSlope, ds.RescaleIntercept = 1, intercept
        ds.PixelData = np.clip(np.rint(values[index] - intercept), 0, 65535).astype("<u2").tobytes()
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)

    folder.mkdir(parents=True, exist_ok=True)
    headers = slice_headers(count=len(values), size=values.shape[1:], edit=edit)
    return [instance.path for instance in kept(headers, folder)]
