"""A PNG or JPEG that somebody sent, as plain pixels; runs in the child only."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageOps

PIXEL_LIMIT = 64 * 10**6  # pixels of one picture, known before it is decoded
SIXTEEN_BIT = "I;16"  # little endian, as DICOM has it
_FORMATS = ("PNG", "JPEG")
_WIDEST = 65535  # Rows and Columns are US


class TooManyPixels(Exception):
    """Nothing was decoded."""


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """Grey or colour values, upright, without anything else that the file said."""

    mode: str
    width: int
    height: int
    is_jpeg: bool
    content: bytes


def decoded(content: bytes) -> DecodedPicture:
    """The pixels of a picture.

    Raises:
        TooManyPixels: more than are taken.
        Exception: whatever Pillow meets in a broken file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures; our own limit is checked below
        try:
            picture = Image.open(io.BytesIO(content), formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise TooManyPixels from error
    width, height = picture.size
    if width * height > PIXEL_LIMIT or max(width, height) > _WIDEST:
        raise TooManyPixels
    upright = ImageOps.exif_transpose(picture)
    mode = _mode(upright)
    values = upright.convert(mode)
    if mode == "RGB" and _is_grey(values):
        values = values.getchannel(0)
    return DecodedPicture(values.mode, values.width, values.height, picture.format != "PNG", values.tobytes())


def _mode(picture: Image.Image) -> str:
    if picture.mode.startswith("I"):
        return SIXTEEN_BIT
    return "L" if picture.mode in ("1", "L", "LA") else "RGB"


def _is_grey(colours: Image.Image) -> bool:
    red, green, blue = colours.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox())
