"""The images of the self-test: small, drawn, and marked inside the picture as what they are (PS3.3 section A.3, CT)."""

import uuid
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from inference.evidence.drawing import Pen
from storage.domain.self_test import SELF_TEST_DESCRIPTION, SELF_TEST_PATIENT_ID, SELF_TEST_PATIENT_NAME

SLICES = 5
SPACING_MM = (1.5, 1.5, 3.0)  # between rows, columns and slices
_WORDS = ("SELF-TEST", "NOT A PATIENT")
_AIR, _LETTERS = -1000, 500  # Hounsfield units


def self_test_images(study_instance_uid: str, number: int, rows: int, columns: int, now: datetime) -> list[Dataset]:
    """One series of drawn CT images, fresh UIDs each time; ``number`` is its Series Number."""
    series = _series(study_instance_uid, number, now)
    pixels = _pixels(rows, columns)
    return [_image(series, index, pixels) for index in range(SLICES)]


def fresh_uid() -> str:
    """A UID that nobody has (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def _series(study_instance_uid: str, number: int, now: datetime) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = now.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = now.strftime("%H%M%S")
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.PositionReferenceIndicator = ""
    ds.Modality, ds.Manufacturer = "CT", "Overread"
    ds.StudyDescription = SELF_TEST_DESCRIPTION
    ds.SeriesDescription = f"{SELF_TEST_DESCRIPTION} ({number})"
    ds.PatientName, ds.PatientID = SELF_TEST_PATIENT_NAME, SELF_TEST_PATIENT_ID
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "", "O", ""
    ds.PatientComments = ds.ImageComments = "This patient does not exist."
    ds.BodyPartExamined, ds.PatientPosition = "WHOLEBODY", "HFS"
    ds.KVP = ds.AcquisitionNumber = ""
    ds.StudyInstanceUID, ds.StudyID = study_instance_uid, "SELFTEST"
    ds.SeriesInstanceUID, ds.SeriesNumber = fresh_uid(), number
    ds.FrameOfReferenceUID = fresh_uid()
    return ds


def _image(series: Dataset, index: int, pixels: NDArray[np.int16]) -> Dataset:
    ds = Dataset()
    ds.update(series)
    ds.SOPInstanceUID, ds.InstanceNumber = fresh_uid(), index + 1
    ds.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    ds.ImagePositionPatient = [-96.0, -96.0, index * SPACING_MM[2]]
    ds.PixelSpacing, ds.SliceThickness = list(SPACING_MM[:2]), SPACING_MM[2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.BurnedInAnnotation = "NO"  # what is written in it identifies nobody
    ds.RescaleIntercept, ds.RescaleSlope = 0, 1
    ds.WindowCenter, ds.WindowWidth = 0, 2000
    ds.PixelData = pixels.astype("<i2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _pixels(rows: int, columns: int) -> NDArray[np.int16]:
    sheet = Image.new("RGB", (columns, rows))
    pen = Pen(sheet, 13)
    for place, words in enumerate(_WORDS):
        pen.text(((columns - pen.width(words)) / 2, 8 + 18 * place), words)
    bright = np.asarray(sheet.convert("L"), np.float32) / 255
    return (_AIR + bright * (_LETTERS - _AIR)).astype(np.int16)
