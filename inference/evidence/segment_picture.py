"""A slice with the outlines of its segments, each with the number by which the list beside it names it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from inference.evidence.class_words import image_number
from inference.evidence.context import EvidenceContext
from inference.evidence.drawing import BLACK, GREY, WHITE, Pen
from inference.evidence.measured_lines import DrawnLine, lines_on
from inference.evidence.outline import Polyline, contours
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.shown_image import (
    EDGE,
    LETTERS,
    LINE,
    Box,
    Line,
    Picture,
    shown_image,
    widened,
    write_lines,
    write_sides,
)
from inference.imaging.frames import image_key

_LIST = (140, 360)  # least and greatest width of the list
_TRIES = 24  # places along an outline at which its number may stand
_NOTHING = "Nothing found"
_POINTS = 9  # along a measured line, beside which its length may stand
_TAG = 3  # pixels between a number and whatever else is written

Point = tuple[float, float]


def draw_segments(context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment], index: int) -> Picture:
    """The image at place ``index`` in true proportions with what was found on it; nothing of the patient is written.

    The list stands beside the image, where it hides nothing; everything else is inside. Lines along which lengths were
    measured on this image are thinner than outlines, with their millimetres where there is room.
    """
    header = context.sources[index]
    shown = shown_image(header, context.values(index))
    here = [one for one in found if one.number and one.areas[index]]
    picture = shown.image()
    outlines = [_outlines(labels[index] == one.segment.number, picture) for one in here]
    for one, lines in zip(here, outlines, strict=True):
        _draw(picture, lines, one.segment.rgb)
    scale = np.array([picture.width / int(header.Columns), picture.height / int(header.Rows)], np.float32)
    measured = [
        (one, replace(line, points=line.points * scale)) for one in here for line in lines_on(context, one, index)
    ]
    for one, line in measured:
        _draw(picture, [line.points], one.segment.rgb, widths=(3, 1))
    sheet = widened(picture)
    offset = (sheet.width - picture.width) / 2, (sheet.height - picture.height) / 2
    pen = Pen(sheet, LETTERS)
    taken = _write(pen, sheet.size, context, index)
    for one, lines in zip(here, outlines, strict=True):
        _write_number(pen, sheet.size, one, [line + np.array(offset, np.float32) for line in lines], taken)
    for one, line in measured:
        _write_length(pen, sheet.size, one, replace(line, points=line.points + np.array(offset, np.float32)), taken)
    return Picture(np.asarray(_with_list(sheet, here)), shown.spacing_mm)


def _outlines(mask: np.ndarray, picture: Image.Image) -> list[Polyline]:
    rows, columns = mask.shape
    scale = np.array([picture.width / columns, picture.height / rows], np.float32)
    return [one.points * scale for one in contours(mask)]


def _draw(
    picture: Image.Image, lines: Sequence[Polyline], rgb: tuple[int, int, int], widths: tuple[int, int] = (4, 2)
) -> None:
    draw = Pen(picture).draw
    for width, fill in zip(widths, (BLACK, rgb), strict=True):
        for line in lines:
            # The last pixels of an image end where it ends, so that a line along its border is not cut off.
            points = np.clip(line, 1, np.array(picture.size) - 2)
            draw.line([(float(x), float(y)) for x, y in points], fill=fill, width=width, joint="curve")


def _write(pen: Pen, size: tuple[int, int], context: EvidenceContext, index: int) -> list[Box]:
    algorithm, source = context.algorithm, context.sources[index]
    above: list[Line] = [(context.short_mark, WHITE), (f"{algorithm.name} {algorithm.version}", WHITE)]
    number = image_number(image_key(source), context.sources)
    below: list[Line] = [(f"Image {number}, one of {len(context.sources)}", WHITE)]
    return [
        write_lines(pen, EDGE, size[0], above),
        write_lines(pen, size[1] - EDGE - LINE, size[0], below),
        *write_sides(pen, source, size, len(above), len(below)),
    ]


def _write_number(
    pen: Pen, size: tuple[int, int], one: FoundSegment, lines: Sequence[Polyline], taken: list[Box]
) -> None:
    words = str(one.number)
    width = pen.width(words)
    boxes = [(x, y, x + width, y + LINE) for x, y in _places(lines, width, size)]
    box = next((each for each in boxes if not any(_overlap(each, other) for other in taken)), boxes[0])
    taken.append(box)
    pen.tag(box[:2], words, one.segment.rgb)


def _write_length(pen: Pen, size: tuple[int, int], one: FoundSegment, line: DrawnLine, taken: list[Box]) -> None:
    """The length beside its line; not where it would cover something else, as it stands in the summary too."""
    width = pen.width(line.words)
    along = np.linspace(line.points[0], line.points[1], _POINTS)
    boxes = [(x, y, x + width, y + LINE) for x, y in _places([along], width, size)]
    box = next((each for each in boxes if not any(_overlap(each, other) for other in taken)), None)
    if box is not None:
        taken.append(box)
        pen.text(box[:2], line.words, one.segment.rgb)


def _places(lines: Sequence[Polyline], width: float, size: tuple[int, int]) -> Iterator[Point]:
    """Upper left corners beside the outlines, those of the longest first, all of them inside the image."""
    for line in sorted(lines, key=len, reverse=True):
        for x, y in line[:: max(1, len(line) // _TRIES)]:
            for left, top in ((x + _TAG, y - LINE), (x - width - _TAG, y - LINE), (x + _TAG, y), (x - width - _TAG, y)):
                yield (
                    float(min(max(left, EDGE), size[0] - EDGE - width)),
                    float(min(max(top, EDGE), size[1] - EDGE - LINE)),
                )


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[2] + _TAG and other[0] < one[2] + _TAG and one[1] < other[3] + _TAG and other[1] < one[3] + _TAG
    )


def _with_list(picture: Image.Image, here: Sequence[FoundSegment]) -> Image.Image:
    least, most = _LIST
    measure = Pen(picture, LETTERS)
    indent = max((measure.width(str(one.number)) for one in here), default=0) + EDGE
    longest = max(measure.width(words) for words in [_NOTHING, *(one.segment.label for one in here)])
    width = round(min(max(longest + indent + 2 * EDGE, least), most))
    height = max(picture.height, 2 * EDGE + LINE * len(here))
    sheet = Image.new("RGB", (picture.width + width, height))
    sheet.paste(picture, (0, 0))
    pen = Pen(sheet, LETTERS)
    pen.draw.line([(picture.width, 0), (picture.width, height)], fill=GREY)
    left = picture.width + EDGE
    for place, one in enumerate(here):
        top = EDGE + LINE * place
        pen.tag((left, top), str(one.number), one.segment.rgb)
        pen.text((left + indent, top), pen.fitted(one.segment.label, width - indent - 2 * EDGE))
    if not here:
        pen.text((left, EDGE), _NOTHING)
    return sheet
