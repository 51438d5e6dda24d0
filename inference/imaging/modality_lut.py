"""From stored values to those that a modality means: Rescale Slope and Intercept, or a table (PS3.3 section C.11.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian

from inference.errors import UnusableInput

_LARGEST = np.float64(np.finfo(np.float32).max) / 2
_SCALING = ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence")
_BEYOND_SAMPLES = 2.0**32


def rescale_into(pixels: NDArray[np.generic], header: Dataset, target: NDArray[np.float32]) -> None:
    """Put the values that stored ones stand for into ``target``, of the same shape.

    Raises:
        UnusableInput: ``modality-lut``, when the table is malformed; ``not-finite``; ``unreadable``.
    """
    if header.get("ModalityLUTSequence"):
        table = read_table(header.ModalityLUTSequence[0], header)
        if table is None:
            raise _malformed()
        target[...] = table.entries[np.clip(pixels.astype(np.int64) - table.first, 0, len(table.entries) - 1)]
        return
    slope, intercept = _rescale(header)
    if slope == 0 and pixels.size and pixels.min() != pixels.max():  # some write 0 for a slice that is blank
        raise UnusableInput(
            "unreadable", "Rescale Slope is 0 in a slice that is not blank, so all its values would be the same."
        )
    target[...] = pixels
    if slope != 1:
        target *= slope
    if intercept != 0:
        target += intercept
    within = abs(np.float64(slope)) * _BEYOND_SAMPLES + abs(np.float64(intercept)) < _LARGEST
    if not within and not np.isfinite(target).all():
        raise UnusableInput("not-finite", "The rescaled pixel values of the series are not all numbers.")


def refuse_some_unscaled(headers: Sequence[Dataset]) -> None:
    """Refuse slices of which some say what their stored values stand for and others do not.

    Those of CT without an intercept among others with one would be 1024 too bright, and nobody would see why.

    Raises:
        UnusableInput: ``unreadable``.
    """
    scaled = [header for header in headers if any(header.get(keyword) is not None for keyword in _SCALING)]
    if len(scaled) in (0, len(headers)):
        return
    if any(header.get("ModalityLUTSequence") or tuple(map(float, _rescale(header))) != (1.0, 0.0) for header in scaled):
        raise UnusableInput(
            "unreadable",
            f"Only {len(scaled)} of {len(headers)} slices have Rescale Slope and Intercept, so the values of the "
            "others are not comparable; send the whole series again.",
        )


def _rescale(header: Dataset) -> tuple[np.float32, np.float32]:
    try:
        slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
        with np.errstate(over="ignore"):
            return (
                np.float32(1.0 if slope is None else float(slope)),
                np.float32(0.0 if intercept is None else float(intercept)),
            )
    except (TypeError, ValueError, OverflowError):
        raise UnusableInput("unreadable", "Rescale Slope or Intercept is malformed in a slice.") from None


@dataclass(frozen=True, slots=True, eq=False)
class LookUpTable:
    """What the value ``first`` and the following ones become, in numbers of so many bits."""

    first: int
    entries: NDArray[np.float32]
    bits: int

    @property
    def extent(self) -> tuple[int, int]:
        """The first value and how many follow, itself included."""
        return self.first, len(self.entries)


def read_table(item: Dataset, header: Dataset) -> LookUpTable | None:
    """A table of the image of a header (PS3.3 sections C.11.1.1 and C.11.2.1.1), or ``None`` where it is malformed."""
    return named_table(item, "LUT", header)


def named_table(item: Dataset, name: str, header: Dataset) -> LookUpTable | None:
    """The same of a table whose two attributes begin with ``name``, such as a palette's (section C.7.6.3.1.5)."""
    try:
        count, first, bits = (int(number) for number in item[f"{name}Descriptor"].value)
        count = count or 65536
        if header.get("PixelRepresentation") == 1 and first > 32767:
            first -= 65536
        content = item[f"{name}Data"].value
        if not isinstance(content, bytes):
            entries = np.array(content, np.float32).reshape(-1)
        else:
            big = getattr(header, "file_meta", None) and header.file_meta.TransferSyntaxUID == ExplicitVRBigEndian
            words = np.dtype(">u2" if big else "<u2")
            entries = np.frombuffer(content, words if bits > 8 or len(content) >= 2 * count else np.uint8)
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError):
        return None
    if not 0 < count <= len(entries) or not 8 <= bits <= 16:
        return None
    return LookUpTable(first, entries[:count].astype(np.float32), bits)


def _malformed() -> UnusableInput:
    return UnusableInput("modality-lut", "The Modality LUT of an instance is malformed; send the series again.")
