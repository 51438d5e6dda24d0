"""A source image as a picture in true proportions, and what every picture of one has written on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset

from inference.evidence.drawing import Pen, Rgb
from inference.evidence.orientation import opposite, patient_orientation
from inference.evidence.windowing import Grey, windowing
from inference.imaging.image_series import pixel_spacing

_LEAST, _MOST = 640, 1024  # pixels of the longer side, whatever the image has
_NARROWEST = 400  # pixels that the letters need; a narrower image gets black borders
LETTERS = 15  # their size
LINE = 20  # pixels between lines of text
EDGE = 8  # pixels between text and border

Box = tuple[float, float, float, float]  # left, top, right, bottom
Line = tuple[str, Rgb]


class Picture(NamedTuple):
    """RGB pixels, and how far apart they are in mm where the image says so."""

    pixels: npt.NDArray[np.uint8]
    spacing_mm: float | None

    def image(self) -> Image.Image:
        """The pixels as a picture."""
        return Image.fromarray(self.pixels)


@dataclass(frozen=True, slots=True, eq=False)
class ShownImage:
    """RGB values from 0 to 255 as (row, column, colour); one of its pixels covers so many rows of the image."""

    canvas: Grey
    rows_per_pixel: float
    spacing_mm: float | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.canvas.shape[1], self.canvas.shape[0]

    def image(self) -> Image.Image:
        """The values as a picture."""
        return Image.fromarray(self.canvas.round().astype(np.uint8))


def shown_image(header: Dataset, values: Grey) -> ShownImage:
    """The image as a viewer shows it first: its own window, square pixels, enlarged or reduced to be looked at.

    ``values`` are those after the Modality LUT as (row, column), or the colours from 0 to 255 as (row, column, RGB).
    """
    size, per_pixel = _size(header)
    shown = values if values.ndim == 3 else windowing(header, values).grey(values) * 255
    canvas = np.asarray(
        Image.fromarray(shown.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB"), np.float32
    )
    stated = pixel_spacing(header)
    return ShownImage(canvas, per_pixel, None if stated is None else stated[0] * per_pixel)


def widened(picture: Image.Image) -> Image.Image:
    """The picture with black borders where it is too small for the letters."""
    size = max(picture.width, _NARROWEST), max(picture.height, _NARROWEST)
    if size == picture.size:
        return picture
    sheet = Image.new("RGB", size)
    sheet.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return sheet


def write_lines(pen: Pen, top: float, width: float, lines: Sequence[Line]) -> Box:
    """Write lines below each other from the left edge on, cut where the picture ends; where they stand."""
    fitted = [(pen.fitted(words, width - 2 * EDGE), fill) for words, fill in lines]
    for place, (words, fill) in enumerate(fitted):
        pen.text((EDGE, top + LINE * place), words, fill)
    longest = max((pen.width(words) for words, _ in fitted), default=0)
    return EDGE, top, EDGE + longest, top + LINE * len(fitted)


def write_sides(pen: Pen, header: Dataset, size: tuple[int, int], above: int, below: int) -> list[Box]:
    """Write at each edge which side of the patient it is, where the image says so; where the letters stand.

    They stand below and above so many lines of other text.
    """
    sides = patient_orientation(header)
    if sides is None:
        return []
    width, height = size
    right, bottom = sides[0][0], sides[1][0]
    middle, center = height / 2 - LINE / 2, width / 2
    letters = (
        (opposite(right), EDGE, middle),
        (right, width - EDGE - pen.width(right), middle),
        (opposite(bottom), center, EDGE + LINE * above),
        (bottom, center, height - EDGE - LINE * (below + 1)),
    )
    for letter, left, top in letters:
        pen.text((left, top), letter)
    return [(left, top, left + LINE, top + LINE) for _, left, top in letters]


def _size(header: Dataset) -> tuple[tuple[int, int], float]:
    """Width and height of the drawing, and how many rows of the image one of its pixels covers."""
    rows, columns = int(header.Rows), int(header.Columns)
    down, across = pixel_spacing(header) or _aspect(header)
    longer = min(max(_LEAST, rows, columns), _MOST)
    unit = max(rows * down, columns * across) / longer
    return (max(round(columns * across / unit), 1), max(round(rows * down / unit), 1)), unit / down


def _aspect(header: Dataset) -> tuple[float, float]:
    try:
        down, across = (float(value) for value in header.get("PixelAspectRatio") or ())
    except (TypeError, ValueError):
        return 1.0, 1.0
    return (down, across) if min(down, across) > 0 else (1.0, 1.0)
