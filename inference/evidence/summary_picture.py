"""The summary of a result as one picture: the mark, the table, small pictures, and who made it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.evidence.drawing import GREY, WHITE, Pen, Rgb
from inference.evidence.shown_image import Picture
from inference.evidence.summary import Row, Summary

_WIDTH = 1024
_LEAST_HEIGHT = 768
_EDGE = 24
_TOP, _BOTTOM = 84, 56  # free for what viewers write over the corners of an image
_SIZES = (28, 20, 16)  # of the letters of the title, the mark and all else
_LINE = 22
_GAP = 16  # between columns, pictures and parts of the page
_SWATCH = 12
_THUMBNAILS_PER_ROW = 3
MOST_THUMBNAILS = 6
_SIDE = round((_WIDTH - 2 * _EDGE - _GAP * (_THUMBNAILS_PER_ROW - 1)) / _THUMBNAILS_PER_ROW)  # of a thumbnail
_FACT = 0.16  # of the width, for the names of facts
_MARK: Rgb = (255, 214, 10)


def draw_summary(summary: Summary, pictures: Sequence[Picture]) -> Picture:
    """The page; the first of the pictures stand in it."""
    small = [reduced(one.image(), _SIDE) for one in pictures[:MOST_THUMBNAILS]]
    sheet = _Sheet(Image.new("RGB", (_WIDTH, 1)))
    _Page(sheet, summary, small, _Ruler).draw()  # once to learn how high it becomes
    height = max(round(sheet.bottom) + _BOTTOM, _LEAST_HEIGHT)
    sheet = _Sheet(Image.new("RGB", (_WIDTH, height)))
    _Page(sheet, summary, small, Pen).draw()
    return Picture(np.asarray(sheet.picture), None)


class _Ruler(Pen):
    """Tells how much room words take, and writes none."""

    def text(self, position: tuple[float, float], words: str, fill: Rgb = WHITE) -> None:
        """Nothing."""


@dataclass
class _Sheet:
    picture: Image.Image
    bottom: float = _TOP


@dataclass(frozen=True, slots=True)
class _Page:
    sheet: _Sheet
    summary: Summary
    thumbnails: Sequence[Image.Image]
    pens: type[Pen]

    def draw(self) -> None:
        title, mark, letters = (self.pens(self.sheet.picture, size) for size in _SIZES)
        self._lines(title, [self.summary.title], WHITE, 40)
        self._lines(mark, self.summary.marks, _MARK, 30)
        self.sheet.bottom += _GAP
        self._row(letters, Row(None, self.summary.headings), GREY)
        self._rule(letters)
        for row in self.summary.rows:
            self._row(letters, row, WHITE)
        self._rule(letters)
        self._thumbnails()
        for name, value in self.summary.facts:
            self._fact(letters, name, value)

    def _lines(self, pen: Pen, lines: Sequence[str], fill: Rgb, height: float) -> None:
        for words in lines:
            pen.text((_EDGE, self.sheet.bottom), words, fill)
            self.sheet.bottom += height

    def _rule(self, pen: Pen) -> None:
        self.sheet.bottom += _GAP / 2
        pen.draw.line([(_EDGE, self.sheet.bottom), (_WIDTH - _EDGE, self.sheet.bottom)], fill=GREY)
        self.sheet.bottom += _GAP / 2

    def _row(self, pen: Pen, row: Row, fill: Rgb) -> None:
        left, lowest = float(_EDGE), self.sheet.bottom
        if row.rgb is not None:
            top = self.sheet.bottom + (_LINE - _SWATCH) / 2 - 2
            pen.draw.rectangle((left, top, left + _SWATCH, top + _SWATCH), fill=row.rgb, outline=WHITE)
        indent = _SWATCH + 8
        for place, (words, share) in enumerate(zip(row.cells, self.summary.shares, strict=True)):
            width = share * (_WIDTH - 2 * _EDGE)
            shift = indent if place == 0 else 0
            lines = pen.wrapped(words, width - _GAP - shift)
            for number, line in enumerate(lines):
                pen.text((left + shift, self.sheet.bottom + _LINE * number), line, fill)
            lowest = max(lowest, self.sheet.bottom + _LINE * len(lines))
            left += width
        self.sheet.bottom = lowest

    def _fact(self, pen: Pen, name: str, value: str) -> None:
        shift = _FACT * (_WIDTH - 2 * _EDGE)
        pen.text((_EDGE, self.sheet.bottom), name, GREY)
        for line in pen.wrapped(value, _WIDTH - 2 * _EDGE - shift):
            pen.text((_EDGE + shift, self.sheet.bottom), line)
            self.sheet.bottom += _LINE

    def _thumbnails(self) -> None:
        for start in range(0, len(self.thumbnails), _THUMBNAILS_PER_ROW):
            row = self.thumbnails[start : start + _THUMBNAILS_PER_ROW]
            for place, picture in enumerate(row):
                self.sheet.picture.paste(picture, (_EDGE + place * (_SIDE + _GAP), round(self.sheet.bottom)))
            self.sheet.bottom += max(one.height for one in row) + _GAP


def reduced(picture: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side so many pixels long."""
    scale = side / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    return picture.resize(size, Image.Resampling.LANCZOS)
