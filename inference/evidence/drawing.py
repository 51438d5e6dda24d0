"""What all our pictures share: outlined letters, and how a picture becomes a file."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFile, ImageFont

from inference.evidence.letters import FONT, printable

Rgb = tuple[int, int, int]

WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
GREY: Rgb = (150, 150, 150)

TAG_HEIGHT = 19  # of letters of size 15
_MORE = "…"
_BRIGHTNESS = (0.299, 0.587, 0.114)  # what red, green and blue add to it
_BRIGHT = 140
_COMPRESSION = 1  # of zlib, from 0 to 9
# Bytes that Pillow compresses at a time: after each step it wants Python's lock again, and waits while others have it.
ImageFile.MAXBLOCK = 2**23


class Pen:
    """Writes on a picture in letters that stand out from any background."""

    def __init__(self, picture: Image.Image, size: float = 13) -> None:
        self.draw = ImageDraw.Draw(picture)
        self._font = _font(size)

    def text(self, position: tuple[float, float], words: str, fill: Rgb = WHITE) -> None:
        """Write with the upper left corner at this position."""
        self.draw.text(position, printable(words), fill=fill, font=self._font, stroke_width=2, stroke_fill=BLACK)

    def width(self, words: str) -> float:
        """How wide the words will be."""
        return self.draw.textlength(printable(words), font=self._font)

    def tag(self, position: tuple[float, float], words: str, fill: Rgb) -> None:
        """Write on a patch of this colour, in black or white, whichever is easier to read on it."""
        left, top = position
        patch = (left - 2, top, left + self.width(words) + 2, top + TAG_HEIGHT)
        self.draw.rectangle(patch, fill=fill, outline=BLACK)
        brightness = float(np.dot(fill, _BRIGHTNESS))
        self.draw.text(position, printable(words), fill=BLACK if brightness > _BRIGHT else WHITE, font=self._font)

    def fitted(self, words: str, width: float) -> str:
        """The words, without their middle where they would be wider than this: names differ at their ends."""
        if self.width(words) <= width:
            return words
        kept = len(words)
        while kept and self.width(shortened := _without_middle(words, kept)) > width:
            kept -= 1
        return shortened

    def wrapped(self, words: str, width: float) -> list[str]:
        """The words in lines no wider than this; a single word that is too wide loses its middle."""
        lines = []
        for line in words.splitlines():
            lines.append("")
            for word in line.split():
                longer = f"{lines[-1]} {word}".strip()
                if lines[-1] and self.width(longer) > width:
                    lines.append(self.fitted(word, width))
                else:
                    lines[-1] = self.fitted(longer, width)
        return lines


@cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size=size, layout_engine=ImageFont.Layout.BASIC)


def _without_middle(words: str, kept: int) -> str:
    return f"{words[: kept - kept // 2].rstrip()}{_MORE}{words[len(words) - kept // 2 :].lstrip()}"


def png(picture: Image.Image) -> bytes:
    """The picture as PNG; the same picture gives the same bytes.

    Grey values with noise become no smaller at zlib's usual level, and take it three times as long.
    """
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()
