"""What all our pictures share: grey values as a viewer shows them, outlined letters, and the mark."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

Grey = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]

WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)

_SAMPLE = 1_000_000  # values that a window is estimated from


@dataclass(frozen=True, slots=True)
class Window:
    """Which values after the Modality LUT are shown black and which white (PS3.3 section C.11.2.1.2)."""

    black: float
    white: float

    @classmethod
    def of(cls, image: Dataset, values: Grey) -> "Window":
        """The window that the image states; without one, the 1st to the 99th percentile of the values."""
        low, high = _stated(image) or _usual(values)
        return cls(high, low) if image.get("PhotometricInterpretation") == "MONOCHROME1" else cls(low, high)

    def grey(self, values: Grey) -> Grey:
        """The values as grey, 0 black to 1 white."""
        width = self.white - self.black
        scaled: Grey = np.clip((values - np.float32(self.black)) / np.float32(width or 1e-6), 0, 1)
        return scaled


def _stated(image: Dataset) -> tuple[float, float] | None:
    try:
        center, width = (float(np.atleast_1d(image.get(word))[0]) for word in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    return (center - width / 2, center + width / 2) if np.isfinite([center, width]).all() and width > 0 else None


def _usual(values: Grey) -> tuple[float, float]:
    every = max(1, values.size // _SAMPLE)
    low, high = np.percentile(values.reshape(-1)[::every], (1, 99))
    return float(low), float(high)


class Pen:
    """Writes on a picture in letters that stand out from any background."""

    def __init__(self, picture: Image.Image, size: float = 13) -> None:
        self.draw = ImageDraw.Draw(picture)
        self._font = ImageFont.load_default(size=size)

    def text(self, position: tuple[float, float], words: str, fill: Rgb = WHITE) -> None:
        """Write with the upper left corner at this position."""
        self.draw.text(position, words, fill=fill, font=self._font, stroke_width=2, stroke_fill=BLACK)

    def width(self, words: str) -> float:
        """How wide the words will be."""
        return self.draw.textlength(words, font=self._font)


def png(picture: Image.Image) -> bytes:
    """The picture as PNG; the same picture gives the same bytes."""
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
