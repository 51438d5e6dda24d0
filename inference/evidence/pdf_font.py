"""The font of our PDF, small enough to be parsed and cut for each of them."""

from functools import cache
from io import BytesIO

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.fonts import TTFFont

from inference.evidence.letters import FONT

# Letters of Latin scripts, and the signs that our own words have. Other ones want the whole font, of 6,000.
_USUAL = frozenset({*range(0x20, 0x250), *map(ord, "–—‘’“”…μ²³°±·×≤≥Ω")})
_UNUSED = ("FFTM", "GDEF", "GPOS", "GSUB", "MATH")


def add_font(pages: FPDF, family: str, words: str) -> None:
    """Let ``pages`` write these words; the file has the same bytes whichever part of the font they are cut from."""
    if any(ord(letter) not in _USUAL for letter in words):
        pages.add_font(family, fname=FONT)
    else:
        key = family.lower()
        pages.fonts[key] = TTFFont(pages, BytesIO(_usual_letters()), key, "")  # type: ignore[arg-type] # or a file


@cache
def _usual_letters() -> bytes:
    """The font with the usual letters, else as it is: its measures are written into the PDF."""
    options = Options(notdef_outline=True, recommended_glyphs=True, glyph_names=True, legacy_cmap=True)
    options.drop_tables += _UNUSED
    with TTFont(FONT, lazy=True, recalcBBoxes=False, recalcTimestamp=False) as font:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=_USUAL)
        subsetter.subset(font)
        file = BytesIO()
        font.save(file)
    return file.getvalue()
