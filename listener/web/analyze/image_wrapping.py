"""A PNG or JPEG as a DICOM Secondary Capture (PS3.3 section A.8.1), so that it takes the way of every other image.

What the picture's file says besides its pixels, such as comments and EXIF, is not kept: it may name somebody.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from PIL import Image, ImageChops, ImageOps
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from listener.errors import ListenerError
from listener.scp.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PIXEL_LIMIT = 64 * 10**6  # pixels of one picture, known before it is decoded
_FORMATS = ("PNG", "JPEG")
_WIDEST = 65535  # Rows and Columns are US
_SIXTEEN_BIT = "I;16"  # little endian, as we write it
_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError, struct.error, zlib.error)


class UndecodablePicture(ListenerError):
    """A file is no PNG or JPEG that can be decoded; repair it, or send it as DICOM."""


class PictureTooLarge(ListenerError):
    """A picture has more pixels than are taken; send a smaller one, or send it as DICOM."""


@dataclass(frozen=True, slots=True)
class _Pixels:
    """Grey or colour values, upright; ``ratio`` says how much smaller the file was."""

    values: Image.Image
    is_jpeg: bool
    ratio: float


def _fresh_uid() -> UID:
    return generate_uid(prefix=None)  # from a random UUID (PS3.5 section B.2), so that it tells nothing


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What all pictures of one request share: one study and series with fresh UIDs, and a patient without a name."""

    modality: str
    body_part: str = ""
    study_instance_uid: str = field(default_factory=_fresh_uid)
    series_instance_uid: str = field(default_factory=_fresh_uid)
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def wrap(self, content: bytes, number: int) -> bytes:
        """The picture as a DICOM file; it is the ``number``-th of its series.

        Raises:
            UndecodablePicture: the bytes are no PNG or JPEG, or end early.
            PictureTooLarge: it has too many pixels; nothing was decoded.
        """
        instance = self._described(number)
        _add_pixels(instance, _decoded(content))
        buffer = io.BytesIO()
        dcmwrite(buffer, instance, enforce_file_format=True)
        return buffer.getvalue()

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
        instance.file_meta = FileMetaDataset()
        instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        instance.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        instance.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
        return instance


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so says that it is a PNG or a JPEG."""
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def _decoded(content: bytes) -> _Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; our own limit is checked below
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        width, height = picture.size
        if width * height > PIXEL_LIMIT or max(width, height) > _WIDEST:
            raise PictureTooLarge
        upright = ImageOps.exif_transpose(picture)
        mode = _mode(upright)
        values = upright.convert(mode)
    except Image.DecompressionBombError as error:
        raise PictureTooLarge from error
    except _UNDECODABLE as error:
        raise UndecodablePicture from error
    if mode == "RGB" and _is_grey(values):
        values = values.getchannel(0)
    ratio = round(max(len(values.tobytes()) / len(content), 1.0), 2)
    return _Pixels(values, picture.format != "PNG", ratio)


def _mode(picture: Image.Image) -> str:
    if picture.mode.startswith("I"):
        return _SIXTEEN_BIT
    return "L" if picture.mode in ("1", "L", "LA") else "RGB"


def _is_grey(colours: Image.Image) -> bool:
    red, green, blue = colours.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox())


def _add_pixels(instance: Dataset, pixels: _Pixels) -> None:
    colour, bits = pixels.values.mode == "RGB", 16 if pixels.values.mode == _SIXTEEN_BIT else 8
    instance.SamplesPerPixel = 3 if colour else 1
    instance.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        instance.PlanarConfiguration = 0
    instance.Columns, instance.Rows = pixels.values.size
    instance.BitsAllocated = instance.BitsStored = bits
    instance.HighBit, instance.PixelRepresentation = bits - 1, 0
    content = pixels.values.tobytes()
    instance.PixelData = content + b"\x00" * (len(content) % 2)
    if pixels.is_jpeg:  # what was lost stays lost (PS3.3 section C.7.6.1.1.5)
        instance.LossyImageCompression = "01"
        instance.LossyImageCompressionMethod = "ISO_10918_1"
        instance.LossyImageCompressionRatio = pixels.ratio
