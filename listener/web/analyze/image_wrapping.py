"""A PNG or JPEG as a DICOM Secondary Capture (PS3.3 section A.8.1), so that it takes the way of every other image.

What the picture's file says besides its pixels, such as comments and EXIF, is not kept: it may name somebody.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from listener.scp.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.web.pictures.picture_file import SIXTEEN_BIT, DecodedPicture

_PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
_VR_AND_LENGTH = struct.Struct("<2s2xL")  # of an element in Explicit VR Little Endian


def _fresh_uid() -> UID:
    return generate_uid(prefix=None)  # from a random UUID (PS3.5 section B.2), so that it tells nothing


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What all pictures of one request share: one study and series with fresh UIDs, and a patient without a name."""

    decode: Callable[[bytes], DecodedPicture]
    modality: str
    body_part: str = ""
    patient_age: str = ""  # an Age String
    study_instance_uid: str = field(default_factory=_fresh_uid)
    series_instance_uid: str = field(default_factory=_fresh_uid)
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def wrap(self, content: bytes, number: int) -> tuple[bytes, bytes]:
        """The picture as a DICOM file in two pieces, of which the second is its pixels, uncopied.

        It is the ``number``-th of its series. Raises whatever ``decode`` does.
        """
        instance, pixels = self._described(number), self.decode(content)
        _describe_pixels(instance, pixels, len(content))
        buffer = io.BytesIO()
        dcmwrite(buffer, instance, enforce_file_format=True)
        size = len(pixels.content)
        buffer.write(
            _PIXEL_DATA_TAG + _VR_AND_LENGTH.pack(b"OW" if pixels.mode == SIXTEEN_BIT else b"OB", size + size % 2)
        )
        return buffer.getvalue(), pixels.content if size % 2 == 0 else pixels.content + b"\x00"

    def _described(self, number: int) -> Dataset:
        day, time = self.made_at.strftime("%Y%m%d"), self.made_at.strftime("%H%M%S")
        instance = Dataset()
        instance.SpecificCharacterSet = "ISO_IR 192"
        instance.ImageType = ["DERIVED", "SECONDARY"]
        instance.SOPClassUID, instance.SOPInstanceUID = SecondaryCaptureImageStorage, _fresh_uid()
        instance.StudyInstanceUID, instance.SeriesInstanceUID = self.study_instance_uid, self.series_instance_uid
        instance.StudyDate = instance.ContentDate = instance.DateOfSecondaryCapture = day
        instance.StudyTime = instance.ContentTime = instance.TimeOfSecondaryCapture = time
        instance.TimezoneOffsetFromUTC = "+0000"
        instance.AccessionNumber = instance.ReferringPhysicianName = instance.Manufacturer = ""
        instance.PatientName = instance.PatientBirthDate = instance.PatientSex = ""
        # Two uploads must not look like one patient to whatever files by Patient ID.
        instance.PatientID = f"UPLOAD-{self.study_instance_uid[-12:]}"
        instance.StudyID, instance.SeriesNumber, instance.InstanceNumber = "", 1, number
        instance.Modality, instance.ConversionType = self.modality, "WSD"
        instance.SeriesDescription = "Picture sent for analysis"
        instance.PatientOrientation = ""
        if self.body_part:
            instance.BodyPartExamined = self.body_part
        if self.patient_age:
            instance.PatientAge = self.patient_age
        instance.file_meta = FileMetaDataset()
        instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        instance.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        instance.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        return instance


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so says that it is a PNG or a JPEG."""
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def _describe_pixels(instance: Dataset, pixels: DecodedPicture, size_of_file: int) -> None:
    colour, bits = pixels.mode == "RGB", 16 if pixels.mode == SIXTEEN_BIT else 8
    instance.SamplesPerPixel = 3 if colour else 1
    instance.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        instance.PlanarConfiguration = 0
    instance.Columns, instance.Rows = pixels.width, pixels.height
    instance.BitsAllocated = instance.BitsStored = bits
    instance.HighBit, instance.PixelRepresentation = bits - 1, 0
    if pixels.is_jpeg:  # what was lost stays lost (PS3.3 section C.7.6.1.1.5)
        instance.LossyImageCompression = "01"
        instance.LossyImageCompressionMethod = "ISO_10918_1"
        instance.LossyImageCompressionRatio = round(max(len(pixels.content) / size_of_file, 1.0), 2)
