"""The demo's study: a public T1-weighted head as a DICOM MR series of a fictitious patient."""

import tarfile
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from overread.errors import FrontDeskError
from overread.packages import PYDEFACE

PATIENT_ID = "DEMO-0001"
_IMAGE = f"{PYDEFACE.name}-{PYDEFACE.version}/tests/data/ds000031_sub-01_ses-006_run-001_T1w.nii.gz"
_SOURCE = "Converted from a public research image: OpenNeuro ds000031, sub-01, ses-006, T1w, by way of pydeface 2.1.0."
_SEEDED_TIME = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)


class UnreadableHead(FrontDeskError):
    """The image in the demo's package cannot be read; install the extra demo."""


@dataclass(frozen=True, slots=True)
class HeadStudy:
    """The study that was written: its UIDs, and its files in slice order."""

    study_instance_uid: str
    series_instance_uid: str
    files: tuple[Path, ...]


def write_head_study(sdist: Path, folder: Path, seed: str | None = None) -> HeadStudy:
    """Write an axial MR series, one file per slice, from the head in pydeface's source distribution.

    Without a seed each call makes a new study; the same seed gives the same UIDs and times.

    Raises:
        UnreadableHead: the package does not hold the image, or nibabel is not installed.
    """
    values, affine = _axial(*_read_nifti(sdist))
    name = _Uids(seed or uuid.uuid4().hex)
    common = _common(name, datetime.now(UTC) if seed is None else _SEEDED_TIME, values)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(len(values)):
        path = folder / f"slice-{index + 1:04d}.dcm"
        _slice(common, name, index, values[index], affine).save_as(path, enforce_file_format=True)
        files.append(path)
    return HeadStudy(str(common.StudyInstanceUID), str(common.SeriesInstanceUID), tuple(files))


class _Uids:
    """UIDs derived from a seed, under the root for UUIDs (PS3.5 section B.2)."""

    def __init__(self, seed: str) -> None:
        self._space = uuid.uuid5(uuid.NAMESPACE_OID, f"overread demo head {seed}")

    def __call__(self, role: str) -> str:
        return f"2.25.{uuid.uuid5(self._space, role).int}"


def _read_nifti(sdist: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The voxels, reoriented so that the axes run towards right, anterior and superior, and their affine to RAS."""
    try:
        import nibabel
    except ImportError:
        raise UnreadableHead from None
    try:
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(sdist) as archive:
            member = archive.extractfile(_IMAGE)
            if member is None:
                raise UnreadableHead
            image_file = Path(scratch) / "head.nii.gz"
            image_file.write_bytes(member.read())
            image = nibabel.as_closest_canonical(nibabel.load(image_file))  # type: ignore[no-untyped-call]
            return np.asanyarray(image.dataobj), np.asarray(image.affine, np.float64)
    except (KeyError, OSError, tarfile.TarError, nibabel.filebasedimages.ImageFileError):
        raise UnreadableHead from None


def _axial(values: NDArray[Any], ras: NDArray[np.float64]) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Turn a RAS volume into axial slices, as (slice, row, column), with the affine from those to LPS in mm.

    NIfTI's axes run towards right, anterior and superior, DICOM's patient coordinates towards left, posterior and
    superior: columns run towards left and rows towards posterior after both axes are reversed.
    """
    width, depth, _ = values.shape
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    reverse = np.diag([-1.0, -1.0, 1.0, 1.0])
    reverse[:2, 3] = width - 1, depth - 1
    affine = (to_lps @ ras @ reverse)[:, [2, 1, 0, 3]]
    turned = values[::-1, ::-1, :].transpose(2, 1, 0)
    return np.clip(np.rint(turned), 0, 2**16 - 1).astype(np.uint16), affine


def _common(uid: _Uids, now: datetime, values: NDArray[np.uint16]) -> Dataset:
    """What all slices share (PS3.3 section A.4, MR Image IOD)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = MRImageStorage
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = now.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = now.strftime("%H%M%S")
    ds.AccessionNumber = ""
    ds.Modality = "MR"
    ds.Manufacturer = "Overread demo"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Overread demo: public research head"
    ds.SeriesDescription = "T1w head, ds000031 via pydeface"
    ds.DerivationDescription = _SOURCE
    ds.PatientName = "Demo^Head"
    ds.PatientID = PATIENT_ID
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.PatientAge = "045Y"
    ds.PatientComments = "This patient does not exist."
    ds.BodyPartExamined = "HEAD"
    _add_acquisition(ds)
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid("series")
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.FrameOfReferenceUID = uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.ImageComments = _SOURCE
    _add_pixel_description(ds, values)
    return ds


def _add_acquisition(ds: Dataset) -> None:
    """The MR Image Module (PS3.3 section C.8.3.1), as far as the source tells it."""
    ds.ScanningSequence = ["GR", "IR"]
    ds.SequenceVariant = ["SK", "SP", "MP"]
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "3D"
    ds.RepetitionTime = "1900"
    ds.EchoTime = "2.49"
    ds.InversionTime = ""
    ds.EchoTrainLength = 1
    ds.PatientPosition = "HFS"


def _add_pixel_description(ds: Dataset, values: NDArray[np.uint16]) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape[1:]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    brightest = float(np.percentile(values, 99.5))
    ds.WindowCenter, ds.WindowWidth = f"{brightest / 2:.0f}", f"{brightest:.0f}"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"


def _slice(common: Dataset, uid: _Uids, index: int, pixels: NDArray[np.uint16], affine: NDArray[np.float64]) -> Dataset:
    ds = Dataset(common)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPInstanceUID = uid(f"slice {index}")
    ds.InstanceNumber = index + 1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[0])
    ds.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[2])]
    along_row, along_column = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    ds.ImageOrientationPatient = [_decimal(cosine) for cosine in (*along_row, *along_column)]
    place = affine @ (index, 0, 0, 1)
    ds.ImagePositionPatient = [_decimal(number) for number in place[:3]]
    ds.SliceLocation = _decimal(place[2])
    ds.PixelData = pixels.astype("<u2").tobytes()
    return ds


def _decimal(number: float) -> str:
    """A decimal string (PS3.5 section 6.2, DS) with a millionth of a millimetre, without a negative zero."""
    return f"{number + 0.0:.6f}" if abs(number) >= 5e-7 else "0"
