"""The font of our pictures and documents, and what of a text it can show."""

from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont

FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_UNKNOWN = "?"


def printable(words: str) -> str:
    """The words in one line, in letters that the font has; what it lacks becomes a question mark.

    It has those of Latin, Greek and Cyrillic scripts, and the signs of units.
    """
    known = _letters()
    return "".join(letter if ord(letter) in known else _UNKNOWN for letter in " ".join(words.split()))


@cache
def _letters() -> frozenset[int]:
    with TTFont(FONT, lazy=True) as font:
        return frozenset(font.getBestCmap())
