"""How the samples of an image are written (PS3.3 section C.7.6.3, PS3.5 section 8), and what numbers they stand for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput

_MISSING = (AttributeError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """One image or frame of one sample per pixel, as its header describes it."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """Bytes of the samples."""
        return self.rows * self.columns * (self.bits_allocated // 8)

    def dtype(self, order: str = "<") -> np.dtype[np.generic]:
        """That of the samples as they stand in native pixel data."""
        return np.dtype(f"{order}{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


def pixel_format(header: Dataset) -> PixelFormat:
    """What a header says of its samples.

    Raises:
        UnusableInput: ``not-monochrome``, ``no-pixel-data``, when an attribute is missing or impossible.
    """
    try:
        rows, columns, allocated = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        samples, kind = int(header.get("SamplesPerPixel", 1)), header.get("PhotometricInterpretation")
    except _MISSING:
        raise no_image() from None
    if samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnusableInput("not-monochrome", "The images are in colour; algorithms of this release take grey values.")
    if allocated not in (8, 16, 32) or rows <= 0 or columns <= 0:
        raise no_image()
    try:
        stored, high = int(header.BitsStored), int(header.get("HighBit", int(header.BitsStored) - 1))
        representation = int(header.PixelRepresentation)
    except _MISSING:
        raise no_image() from None
    if not 0 < stored <= allocated or not stored - 1 <= high < allocated or representation not in (0, 1):
        raise no_image()
    return PixelFormat(rows, columns, allocated, stored, high, representation == 1)


def native_values(form: PixelFormat, content: memoryview | bytes, order: str = "<") -> NDArray[np.generic]:
    """The values of native samples, as (row, column), without what stands in bits that are not theirs.

    They are a view of ``content``, changed in place where that may be written.

    Raises:
        UnusableInput: ``short-pixel-data``.
    """
    if len(content) < form.size:
        raise short_pixel_data()
    samples = np.frombuffer(content, form.dtype(order), form.rows * form.columns).reshape(form.shape)
    return meant_values(form, samples)


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
