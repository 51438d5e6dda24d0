"""Values as a workstation first shows them: the image's own VOI LUT or window (PS3.3 section C.11.2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.errors import UnusableInput
from inference.imaging.luminance import WHITE
from inference.imaging.modality_lut import read_table
from inference.imaging.pixel_format import is_colour

_MOST = 1e30  # of a window's numbers; beyond, float32 is infinite and what is shown is no number


def as_displayed(values: NDArray[np.float32], header: Dataset) -> NDArray[np.float32]:
    """What an image shows at first, 0 for black to 255 for white, not rounded; MONOCHROME1 is inverted.

    ``values`` are those after the Modality LUT. The first item of the VOI LUT Sequence counts, else the first window;
    an image that states neither is shown from its lowest to its highest value. The luminance of a colour image is that
    already: windows are for grey values (PS3.3 section C.11.2.1.2).

    Raises:
        UnusableInput: ``voi-lut``: the table is malformed.
    """
    if is_colour(header):
        return values
    if header.get("VOILUTSequence"):
        shown = _by_table(values, header)
    else:
        window = _window(header)
        shown = _whole_range(values) if window is None else _windowed(values, header, *window)
    white = np.float32(WHITE)
    displayed: NDArray[np.float32] = shown * white
    return white - displayed if header.get("PhotometricInterpretation") == "MONOCHROME1" else displayed


def _by_table(values: NDArray[np.float32], header: Dataset) -> NDArray[np.float32]:
    table = read_table(header.VOILUTSequence[0], header)
    if table is None:
        raise UnusableInput("voi-lut", "The VOI LUT of an instance is malformed; send the series again.")
    places = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1)
    greys = np.clip(table.entries / np.float32(2**table.bits - 1), 0, 1)
    shown: NDArray[np.float32] = greys[places.astype(np.intp)]
    return shown


def _windowed(values: NDArray[np.float32], header: Dataset, center: float, width: float) -> NDArray[np.float32]:
    """The three functions of PS3.3 section C.11.2.1.2 and C.11.2.1.3, as 0 to 1."""
    function = header.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        curved: NDArray[np.float32] = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80)))
        return curved.astype(np.float32, copy=False)
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
        if width == 0:
            return (values > center).astype(np.float32)
    shown: NDArray[np.float32] = np.clip((values - np.float32(center)) / np.float32(width) + np.float32(0.5), 0, 1)
    return shown


def _window(header: Dataset) -> tuple[float, float] | None:
    """The first window, if it is one: LINEAR has a width of 1 at least, the others one above 0."""
    try:
        center, width = (_first(header.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, LookupError):
        return None
    if not (abs(center) < _MOST and abs(width) < _MOST):
        return None
    exact = header.get("VOILUTFunction") in ("LINEAR_EXACT", "SIGMOID")
    return (center, width) if (width > 0 if exact else width >= 1) else None


def _first(value: object) -> float:
    one = value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value
    return float(one)  # type: ignore[arg-type]  # a TypeError is an answer


def _whole_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros_like(values)
    shown: NDArray[np.float32] = (values - low) / (high - low)
    return shown
