"""How the samples of an image are written (PS3.3 section C.7.6.3, PS3.5 section 8), and what numbers they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from inference.errors import UnusableInput

_MISSING = (AttributeError, TypeError, ValueError, OverflowError)

# Samples per Pixel of each Photometric Interpretation that is read (PS3.3 section C.7.6.3.1.2).
_SAMPLES = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
# All that ``pixel_format`` looks at.
_DESCRIBING = tuple(
    Tag(keyword)
    for keyword in (
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    )
)
_SHARED_CHROMINANCE = "YBR_FULL_422"  # native: Y, Y, Cb, Cr of two neighbours in a row


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One image or frame, as its header describes it; ``planar`` says that native samples stand plane after plane."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str = "MONOCHROME2"
    planar: bool = False

    @property
    def samples(self) -> int:
        """Samples per pixel, as decoding gives them: 1 or 3."""
        return _SAMPLES[self.photometric]

    @property
    def is_colour(self) -> bool:
        """Whether its pixels are colours, be it by a palette."""
        return self.photometric not in _GREY

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """Bytes of the native samples."""
        samples = 2 if self.photometric == _SHARED_CHROMINANCE else self.samples
        return self.rows * self.columns * samples * (self.bits_allocated // 8)

    @property
    def decoded_shape(self) -> tuple[int, ...]:
        """Rows and columns, and samples where a pixel has several."""
        return self.shape if self.samples == 1 else (*self.shape, self.samples)

    @property
    def decoded_size(self) -> int:
        """Bytes of the samples that a codec gives."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)

    def dtype(self, order: str = "<") -> np.dtype[np.generic]:
        """That of the samples as they stand in native pixel data."""
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


def pixel_format(header: Dataset) -> PixelFormat:
    """What a header says of its samples.

    Raises:
        UnusableInput: ``not-monochrome``, when they are in a colour space that is not read here; ``no-pixel-data``,
            when an attribute is missing or impossible.
    """
    try:
        rows, columns, allocated = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        samples, kind = int(header.get("SamplesPerPixel", 1)), str(header.get("PhotometricInterpretation"))
    except _MISSING:
        raise no_image() from None
    if _SAMPLES.get(kind) != samples:
        raise _unread_colour()
    if allocated not in (8, 16, 32) or rows <= 0 or columns <= 0:
        raise no_image()
    try:
        stored, high = int(header.BitsStored), int(header.get("HighBit", int(header.BitsStored) - 1))
        representation = int(header.PixelRepresentation)
        planar = samples > 1 and int(header.get("PlanarConfiguration") or 0) == 1
    except _MISSING:
        raise no_image() from None
    if not 0 < stored <= allocated or not stored - 1 <= high < allocated or representation not in (0, 1):
        raise no_image()
    form = PixelFormat(rows, columns, allocated, stored, high, representation == 1, kind, planar)
    if form.is_colour and not _can_be_colour(form):
        raise _unread_colour()
    return form


def pixel_formats(headers: Sequence[Dataset]) -> list[PixelFormat]:
    """The same of each of many headers; those that share their elements, as a series does, are read once.

    Raises:
        UnusableInput: as ``pixel_format``, for the first header that has a fault.
    """
    known: dict[tuple[int, ...], PixelFormat] = {}
    forms = []
    for header in headers:
        elements = dict(header.items())
        alike = tuple(id(elements.get(tag)) for tag in _DESCRIBING)  # the headers keep them, so none is used anew
        form = known.get(alike)
        if form is None:
            form = pixel_format(header)
            if not any(isinstance(elements.get(tag), RawDataElement) for tag in _DESCRIBING):
                known[alike] = form
        forms.append(form)
    return forms


def _can_be_colour(form: PixelFormat) -> bool:
    if form.photometric == _SHARED_CHROMINANCE and form.bits_allocated != 8:
        return False
    return form.bits_allocated in (8, 16) and not form.signed


def _unread_colour() -> UnusableInput:
    return UnusableInput("not-monochrome", "The images are in a colour space that this release does not read.")


def is_colour(header: Dataset) -> bool:
    """Whether the pixels of an image are colours, be it by a palette."""
    return str(header.get("PhotometricInterpretation") or "MONOCHROME2") not in _GREY


def native_values(form: PixelFormat, content: memoryview | bytes, order: str = "<") -> NDArray[np.generic]:
    """The values of native samples, as (row, column), without what stands in bits that are not theirs.

    Those of three samples a pixel are (row, column, sample); where pixels share their chrominance, Y alone is given,
    as one sample a pixel. They are a view of ``content``, changed in place where that may be written.

    Raises:
        UnusableInput: ``short-pixel-data``; ``no-pixel-data``, where pairs of pixels do not fill a row.
    """
    if len(content) < form.size:
        raise short_pixel_data()
    samples = np.frombuffer(content, form.dtype(order), form.size // (form.bits_allocated // 8))
    return _by_pixel(form, meant_values(form, samples))


def _by_pixel(form: PixelFormat, samples: NDArray[np.generic]) -> NDArray[np.generic]:
    if form.samples == 1:
        return samples.reshape(form.shape)
    if form.photometric == _SHARED_CHROMINANCE:
        if form.columns % 2:  # native pixels come in pairs (PS3.3 section C.7.6.3.1.2); those in a JPEG need not
            raise no_image()
        return samples.reshape(form.rows, form.columns // 2, 4)[..., :2].reshape(*form.shape, 1)
    if form.planar:
        return np.moveaxis(samples.reshape(form.samples, *form.shape), 0, -1)
    return samples.reshape(form.decoded_shape)


def meant_values(form: PixelFormat, samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Samples of the format's type without their unused bits, whose content is undefined (PS3.5 section 8.1.1)."""
    above, unused = form.bits_allocated - 1 - form.high_bit, form.bits_allocated - form.bits_stored
    if unused == 0:
        return samples
    if not samples.flags.writeable:
        samples = samples.copy()
    whole = samples.view(samples.dtype)
    if above:
        np.left_shift(whole, above, out=whole)
    np.right_shift(whole, unused, out=whole)
    return whole


def no_image() -> UnusableInput:
    """A header describes no image."""
    return UnusableInput("no-pixel-data", "An instance of the series does not describe an image.")


def short_pixel_data() -> UnusableInput:
    """An instance has too few pixels."""
    return UnusableInput(
        "short-pixel-data", "The Pixel Data of an instance is shorter than its header says; send the series again."
    )
