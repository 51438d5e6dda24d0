"""The picture of one class: its key image with the saliency map over it, and what was concluded, inside the image."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset

from inference.evidence.class_words import image_number, numbers, verdict
from inference.evidence.context import EvidenceContext
from inference.evidence.drawing import BLACK, WHITE, Grey, Pen, Window
from inference.evidence.orientation import opposite, patient_orientation
from inference.findings.classification import KeyImage
from inference.imaging.image_series import pixel_spacing

_LEAST, _MOST = 640, 1024  # pixels of the longer side, whatever the image has
_NARROWEST = 400  # pixels that the letters need; a narrower image gets black borders
_OPACITY = 0.6  # of the colour where the map is highest
_LINE = 20  # pixels between lines of text
_EDGE = 8  # pixels between text and border
_BAR = (14, 160)  # width and height of the colour bar


class Picture(NamedTuple):
    """RGB pixels, and how far apart they are in mm where the image says so."""

    pixels: npt.NDArray[np.uint8]
    spacing_mm: float | None

    def image(self) -> Image.Image:
        """The pixels as a picture."""
        return Image.fromarray(self.pixels)


def draw_key_image(context: EvidenceContext, key: KeyImage) -> Picture:
    """The key image in true proportions; the same finding gives the same pixels.

    The colour is the more opaque the higher the map, relative to its highest value on this image. The salient
    region of a class that is present is framed, as in the report. Nothing of the patient is written.
    """
    header = context.sources[key.index]
    size, per_pixel = _size(header)
    grey = Image.fromarray((Window.of(header, key.values).grey(key.values) * 255).astype(np.uint8))
    shown = np.asarray(grey.resize(size, Image.Resampling.BILINEAR), np.float32)
    canvas = np.repeat(shown[:, :, None], 3, axis=2)
    if key.saliency is not None:
        opacity = _OPACITY * _resized(key.saliency, size)[:, :, None]
        canvas = canvas * (1 - opacity) + np.array(key.rgb, np.float32) * opacity
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    if key.region is not None:
        _frame(picture, key)
    picture = _widened(picture)
    _write(picture, context, key)
    stated = pixel_spacing(header)
    return Picture(np.asarray(picture), None if stated is None else stated[0] * per_pixel)


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


def _resized(saliency: Grey, size: tuple[int, int]) -> Grey:
    return np.asarray(Image.fromarray(saliency).resize(size, Image.Resampling.BILINEAR), np.float32)


def _frame(picture: Image.Image, key: KeyImage) -> None:
    assert key.region is not None  # noqa: S101 - the caller looked
    rows, columns = key.values.shape
    across, down = picture.width / columns, picture.height / rows
    top, left, bottom, right = key.region
    box = (left * across, top * down, right * across - 1, bottom * down - 1)
    draw = Pen(picture).draw
    draw.rectangle(box, outline=BLACK, width=4)
    draw.rectangle(box, outline=key.rgb, width=2)


def _widened(picture: Image.Image) -> Image.Image:
    """The picture with black borders where it is too small for the letters."""
    size = max(picture.width, _NARROWEST), max(picture.height, _NARROWEST)
    if size == picture.size:
        return picture
    sheet = Image.new("RGB", size)
    sheet.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return sheet


def _write(picture: Image.Image, context: EvidenceContext, key: KeyImage) -> None:
    pen = Pen(picture, 15)
    algorithm = context.algorithm
    _lines(pen, _EDGE, [(context.short_mark, WHITE), (f"{algorithm.name} {algorithm.version}", WHITE)])
    below = _conclusion(context, key)
    _lines(pen, picture.height - _EDGE - _LINE * len(below), below)
    sides = patient_orientation(context.sources[key.index])
    if sides is not None:
        middle, right = picture.height / 2 - _LINE / 2, sides[0][0]
        pen.text((_EDGE, middle), opposite(right))
        pen.text((picture.width - _EDGE - pen.width(right), middle), right)
    if key.saliency is not None:
        _color_bar(picture, pen, key.rgb)


def _lines(pen: Pen, top: float, lines: list[tuple[str, tuple[int, int, int]]]) -> None:
    for place, (words, fill) in enumerate(lines):
        pen.text((_EDGE, top + _LINE * place), words, fill)


def _conclusion(context: EvidenceContext, key: KeyImage) -> list[tuple[str, tuple[int, int, int]]]:
    one, sources = key.classification, context.sources
    probability, threshold = numbers(one)
    if key.saliency is not None:
        colour = "Colour: what speaks for it on this image"
    elif key.mapped:
        colour = "No colour: nothing on this image speaks for it"
    else:
        colour = "No colour: this algorithm does not say where it looked"
    return [
        (verdict(one), key.rgb),
        (f"Probability {probability}, threshold {threshold}", WHITE),
        (f"Image {image_number(one, sources)}, the highest of {len(sources)}", WHITE),
        (colour, WHITE),
    ]


def _color_bar(picture: Image.Image, pen: Pen, rgb: tuple[int, int, int]) -> None:
    width, height = _BAR
    right, top = picture.width - _EDGE, _EDGE + _LINE
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None, None] * np.array(rgb, np.float32)
    bar = Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).round().astype(np.uint8))
    pen.draw.rectangle((right - width - 1, top - 1, right, top + height), outline=WHITE)
    picture.paste(bar, (right - width, top))
    for words, place in (("most", _EDGE - 2), ("none", top + height + 3)):
        pen.text((right - pen.width(words), place), words)
