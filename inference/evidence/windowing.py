"""Which values are shown how bright (PS3.3 section C.11.2)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from inference.imaging.luminance import WHITE
from inference.imaging.pixel_format import is_colour

Grey = npt.NDArray[np.float32]

_SAMPLE = 1_000_000  # values that a window is estimated from
_LEAST_LINEAR = 1  # Window Width of the function LINEAR (PS3.3 section C.11.2.1.2.1)
_MOST_ENTRIES = 65536  # of a table, which its descriptor writes as 0 (PS3.3 section C.11.2.1.1)


@dataclass(frozen=True, slots=True)
class Window:
    """Which values after the Modality LUT are shown black and which white."""

    black: float
    white: float
    is_sigmoid: bool = False

    def grey(self, values: Grey) -> Grey:
        """The values as grey, 0 black to 1 white."""
        width = np.float32((self.white - self.black) or 1e-6)
        if self.is_sigmoid:
            middle = np.float32((self.black + self.white) / 2)
            exponent = np.clip(-4 * (values - middle) / width, -80, 80)
            curved: Grey = 1 / (1 + np.exp(exponent))
            return curved
        scaled: Grey = np.clip((values - np.float32(self.black)) / width, 0, 1)
        return scaled


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A VOI LUT: the grey of each value from ``first`` on; values outside have that of the nearest end."""

    first: int
    greys: Grey

    def grey(self, values: Grey) -> Grey:
        """The values as grey, 0 black to 1 white."""
        places = np.clip(np.rint(values) - self.first, 0, self.greys.size - 1)
        shown: Grey = self.greys[places.astype(np.intp)]
        return shown


def windowing(image: Dataset, values: Grey) -> Window | Table:
    """How the image wants its values shown: its first table, else its first window.

    An image that states neither is shown from the 1st to the 99th percentile of the values; the luminance of a colour
    image from 0 to 255, as it is.
    """
    if is_colour(image):
        return Window(0.0, WHITE)
    is_inverse = image.get("PhotometricInterpretation") == "MONOCHROME1"
    table = _table(image)
    if table is not None:
        return Table(table.first, 1 - table.greys) if is_inverse else table
    low, high = _stated(image) or _usual(values)
    is_sigmoid = image.get("VOILUTFunction") == "SIGMOID"
    return Window(high, low, is_sigmoid) if is_inverse else Window(low, high, is_sigmoid)


def _table(image: Dataset) -> Table | None:
    for item in (image.get("VOILUTSequence") or [])[:1]:
        try:
            entries, first, bits = (int(value) for value in item.LUTDescriptor)
            data = item.LUTData
            packed = isinstance(data, bytes)
            greys = np.frombuffer(data, "<u2") if packed else np.atleast_1d(np.asarray(data, np.float32))
        except (AttributeError, TypeError, ValueError):
            return None
        greys = greys[: entries or _MOST_ENTRIES].astype(np.float32) / np.float32(2 ** min(max(bits, 1), 16) - 1)
        return Table(first, np.clip(greys, 0, 1)) if greys.size else None
    return None


def _stated(image: Dataset) -> tuple[float, float] | None:
    try:
        center, width = (float(np.atleast_1d(image.get(word))[0]) for word in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    if not np.isfinite([center, width]).all() or width <= 0:
        return None
    if image.get("VOILUTFunction", "LINEAR") == "LINEAR" and width > _LEAST_LINEAR:
        return center - width / 2, center + width / 2 - 1
    return center - width / 2, center + width / 2


def _usual(values: Grey) -> tuple[float, float]:
    every = max(1, values.size // _SAMPLE)
    low, high = np.percentile(values.reshape(-1)[::every], (1, 99))
    return float(low), float(high)
