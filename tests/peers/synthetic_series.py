"""Small synthetic MR series, as instances that storage keeps."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from storage.domain.image_record import image_record
from storage.domain.study import InstanceHeader, StableStudy, StoredInstance
from storage.objects.part10 import data_set_offset

Edit = Callable[[int, Dataset], None]

STUDY_UID = "1.2.3.4"


def slice_headers(
    count: int = 6,
    spacing: float = 2.0,
    pixel_spacing: tuple[float, float] = (1.0, 1.5),
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    size: tuple[int, int] = (5, 4),
    edit: Edit | None = None,
) -> list[Dataset]:
    """Headers of an evenly spaced series that begins at (10, 20, 30) mm."""
    normal = np.cross(orientation[:3], orientation[3:])
    series_uid, frame_uid = generate_uid(), generate_uid()
    headers = []
    for index in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY_UID, series_uid, frame_uid
        ds.Modality, ds.BodyPartExamined, ds.SeriesDescription = "MR", "HEAD", "T1w"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        ds.PatientID, ds.PatientName, ds.PatientAge, ds.PatientSex = "P1", "Doe^Jane", "050Y", "F"
        ds.PatientBirthDate = ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
        ds.ReferringPhysicianName = ds.Manufacturer = ""
        ds.SeriesNumber, ds.InstanceNumber = 1, index + 1
        ds.ImageOrientationPatient = list(map(float, orientation))
        ds.ImagePositionPatient = [float(x) for x in np.array([10.0, 20.0, 30.0]) + index * spacing * normal]
        ds.PixelSpacing, ds.SliceThickness = list(pixel_spacing), spacing
        ds.Rows, ds.Columns = size
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 0
        if edit:
            edit(index, ds)
        headers.append(ds)
    return headers


def kept(datasets: Sequence[Dataset], folder: Path) -> list[StoredInstance]:
    """Write data sets as storage does and return what it knows of them; pixels are zero unless they are set."""
    instances = []
    for ds in datasets:
        if "Rows" in ds and "PixelData" not in ds:
            ds.PixelData = bytes(int(ds.Rows) * int(ds.Columns) * 2)
        path = folder / f"{hashlib.sha256(str(ds.SOPInstanceUID).encode()).hexdigest()}.dcm"
        if not hasattr(ds, "file_meta"):
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(path, enforce_file_format=True)
        instances.append(as_kept(ds, path))
    return instances


def as_kept(ds: Dataset, path: Path) -> StoredInstance:
    """What storage knows of a file whose bytes are the ones that arrived."""
    content = path.read_bytes()
    data_set = content[data_set_offset(content) :]
    header = InstanceHeader(
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        study_instance_uid=str(ds.StudyInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        patient_id=str(ds.PatientID),
        modality=str(ds.Modality),
        body_part_examined=str(ds.get("BodyPartExamined", "")),
        series_description=str(ds.get("SeriesDescription", "")),
        series_number=int(ds.SeriesNumber),
        instance_number=int(ds.get("InstanceNumber") or 0),
    )
    image = image_record(data_set, header.transfer_syntax_uid)
    return StoredInstance(header, path, hashlib.sha256(data_set).hexdigest(), len(data_set), image)


def with_pixels(headers: Sequence[Dataset], values: np.ndarray) -> list[Dataset]:
    """Give each header its slice of unsigned 16-bit values."""
    for ds, pixels in zip(headers, values, strict=True):
        ds.PixelData = np.asarray(pixels, "<u2").tobytes()
    return list(headers)


def study_of(instances: Sequence[StoredInstance]) -> StableStudy:
    """A stable study made of these instances."""
    from datetime import UTC, datetime

    return StableStudy(STUDY_UID, 1, "P1", "", datetime(2024, 1, 1, tzinfo=UTC), tuple(instances))
