"""The picture of one class: its key image with the saliency map over it, and what was concluded, inside the image."""

from dataclasses import replace

import numpy as np
from PIL import Image

from inference.evidence.class_words import class_verdict, image_number, numbers
from inference.evidence.context import EvidenceContext
from inference.evidence.drawing import BLACK, WHITE, Pen
from inference.evidence.shown_image import (
    EDGE,
    LETTERS,
    LINE,
    Line,
    Picture,
    shown_image,
    widened,
    write_lines,
    write_sides,
)
from inference.evidence.windowing import Grey
from inference.findings.classification import KeyImage
from storage.domain.finding import Classification

_OPACITY = 0.6  # of the colour where the map is highest
_BAR = (14, 160)  # width and height of the colour bar


def draw_key_image(context: EvidenceContext, key: KeyImage) -> Picture:
    """The key image in true proportions; the same finding gives the same pixels.

    The colour is the more opaque the higher the map, relative to its highest value on this image. The salient
    region of a class that is present is framed, as in the report. Nothing of the patient is written.
    """
    shown = shown_image(context.sources[key.index], key.values)
    if key.saliency is not None:
        opacity = _OPACITY * _resized(key.saliency, shown.size)[:, :, None]
        colour = np.array(key.rgb, np.float32)
        shown = replace(shown, canvas=shown.canvas * (1 - opacity) + colour * opacity)
    picture = shown.image()
    if key.region is not None:
        _frame(picture, key)
    picture = widened(picture)
    _write(picture, context, key)
    return Picture(np.asarray(picture), shown.spacing_mm)


def _resized(saliency: Grey, size: tuple[int, int]) -> Grey:
    return np.asarray(Image.fromarray(saliency).resize(size, Image.Resampling.BILINEAR), np.float32)


def _frame(picture: Image.Image, key: KeyImage) -> None:
    assert key.region is not None  # noqa: S101 - the caller looked
    rows, columns = key.values.shape
    across, down = picture.width / columns, picture.height / rows
    top, left, bottom, right = key.region
    first = left * across, top * down
    last = right * across - 1, bottom * down - 1
    box = (*first, *np.maximum(first, last))  # pixels of the image may be flatter than those of the picture
    draw = Pen(picture).draw
    draw.rectangle(box, outline=BLACK, width=4)
    draw.rectangle(box, outline=key.rgb, width=2)


def _write(picture: Image.Image, context: EvidenceContext, key: KeyImage) -> None:
    pen = Pen(picture, LETTERS)
    algorithm = context.algorithm
    above: list[Line] = [(context.short_mark, WHITE), (f"{algorithm.name} {algorithm.version}", WHITE)]
    write_lines(pen, EDGE, picture.width, above)
    below = _conclusion(context, key)
    write_lines(pen, picture.height - EDGE - LINE * len(below), picture.width, below)
    write_sides(pen, context.sources[key.index], picture.size, len(above), len(below))
    if key.saliency is not None:
        _color_bar(picture, pen, key.rgb)


def _conclusion(context: EvidenceContext, key: KeyImage) -> list[Line]:
    one, sources = key.classification, context.sources
    probability, threshold = numbers(one)
    image = f"Image {image_number(one.key_image, sources)}"
    if not key.finding.is_scored:
        return [
            (class_verdict(key.finding), key.rgb),
            (f"Threshold {threshold}", WHITE),
            (f"{image}, one of {len(sources)}", WHITE),
            (_where(0), WHITE),
        ]
    if key.finding.detection is not None:
        colour = _where(len(key.places))
    elif key.saliency is not None and key.occluded:
        colour = "Colour: what the probability loses where it is covered"
    elif key.saliency is not None:
        colour = "Colour: what speaks for it on this image"
    elif key.mapped:
        colour = "No colour: nothing on this image speaks for it"
    else:
        colour = "No colour: this algorithm does not say where it looked"
    return [
        (class_verdict(key.finding), key.rgb),
        (f"Probability {probability}, threshold {threshold}", WHITE),
        (f"{image}, {among(one)}", WHITE),
        (colour, WHITE),
    ]


def among(one: Classification) -> str:
    """Of how many images this one has the highest probability; those that were left out do not count."""
    if one.images_examined == one.images:
        return f"the highest of {one.images}"
    if one.images_examined == 1:
        return f"the only one examined of {one.images}"
    return f"the highest of {one.images_examined} examined"


def _where(images: int) -> str:
    if not images:
        return "No frame: nothing was found"
    return "Frame: where it was found" + (f", on {images} images" if images > 1 else "")


def _color_bar(picture: Image.Image, pen: Pen, rgb: tuple[int, int, int]) -> None:
    width, height = _BAR
    right, top = picture.width - EDGE, EDGE + LINE
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None, None] * np.array(rgb, np.float32)
    bar = Image.fromarray(np.broadcast_to(ramp, (height, width, 3)).round().astype(np.uint8))
    pen.draw.rectangle((right - width - 1, top - 1, right, top + height), outline=WHITE)
    picture.paste(bar, (right - width, top))
    for words, place in (("most", EDGE - 2), ("none", top + height + 3)):
        pen.text((right - pen.width(words), place), words)
