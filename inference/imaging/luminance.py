"""From the samples of an image to one number per pixel: the values of grey ones, the luminance of colours.

The luminance is that of ITU-R BT.601, which is the Y of the Standard's YBR (PS3.3 section C.7.6.3.1.2): 0 for black to
255 for white, however many bits a sample has. It has no unit, and no rescaling or window applies to it.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.imaging.modality_lut import named_table, rescale_into
from inference.imaging.pixel_format import PixelFormat

WHITE = 255.0  # what is brightest, as in a picture of 8 bits that somebody made of the image
_WEIGHTS = {"Red": 0.299, "Green": 0.587, "Blue": 0.114}
_Y_FIRST = frozenset({"YBR_FULL", "YBR_FULL_422"})


def values_into(samples: NDArray[np.generic], form: PixelFormat, header: Dataset, target: NDArray[np.float32]) -> None:
    """Put the values that samples stand for into ``target``, (row, column): after the Modality LUT, or luminance.

    Raises:
        UnusableInput: as ``rescale_into``; ``palette``, when the colours of a palette are missing or malformed.
    """
    if not form.is_colour:
        rescale_into(samples, header, target)
    elif form.samples == 1:
        first, entries = _palette(header)
        target[...] = entries[np.clip(samples.astype(np.int64) - first, 0, len(entries) - 1)]
    else:
        _mix(samples, form, target)


def _mix(samples: NDArray[np.generic], form: PixelFormat, target: NDArray[np.float32]) -> None:
    if form.photometric in _Y_FIRST:
        target[...] = samples[..., 0]
    else:  # what decoding makes of YBR_ICT and YBR_RCT is red, green and blue
        target[...] = 0
        for channel, weight in enumerate(_WEIGHTS.values()):
            target += samples[..., channel].astype(np.float32) * np.float32(weight)
    white = 2**form.bits_stored - 1
    if white != WHITE:
        target *= np.float32(WHITE / white)


def _palette(header: Dataset) -> tuple[int, NDArray[np.float32]]:
    """The luminance of the entries of the Palette Color Lookup Tables (section C.7.6.3.1.5), and the first one's index.

    Segmented tables are not read.
    """
    tables = [named_table(header, f"{name}PaletteColorLookupTable", header) for name in _WEIGHTS]
    whole = [table for table in tables if table is not None]
    if len(whole) < len(tables) or len({table.extent for table in whole}) > 1:
        raise UnusableInput("palette", "The colour palette of an instance is missing, segmented or malformed.")
    luminance = np.zeros(len(whole[0].entries), np.float32)
    for table, weight in zip(whole, _WEIGHTS.values(), strict=True):
        luminance += np.minimum(table.entries / np.float32(2**table.bits - 1), 1) * np.float32(weight * WHITE)
    return whole[0].first, luminance
