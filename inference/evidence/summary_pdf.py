"""The summary of a result as pages with text that can be searched, its font in the file, and the pictures."""

from collections.abc import Sequence
from datetime import datetime

from fpdf import FPDF, image_parsing
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace

from inference.evidence.drawing import Rgb
from inference.evidence.letters import printable
from inference.evidence.pdf_font import add_font
from inference.evidence.shown_image import Picture
from inference.evidence.summary import Summary

_MARGIN = 15  # mm
_FAMILY = "DejaVu"
_SIZES = (18, 12, 9)  # points of the letters of the title, the marks and all else
_LINE = 5  # mm
_GAP = 4  # mm
_PER_ROW = 2
_MOST_PICTURES = 6
_SWATCH = 0.03  # of the width of the table
_NAMES = 30  # mm, for the names of facts
# Of zlib, for pictures: grey values with noise become as small as at its usual level, in a third of the time.
image_parsing.SETTINGS.compression_level = 3
_BLACK, _GREY, _MARK = (0, 0, 0), (110, 110, 110), (170, 60, 0)


def summary_pdf(
    summary: Summary, pictures: Sequence[Picture], written_at: datetime, identifier: str, producer: str
) -> bytes:
    """The pages in A4; the same arguments give the same bytes.

    ``identifier`` is 32 hexadecimal digits, as the file identifier of the PDF.
    """
    pages = _Pages(summary, identifier)
    pages.set_creation_date(written_at)
    pages.set_producer(producer)
    pages.set_title(printable(f"{summary.title}. {summary.marks[0]}"))
    pages.set_lang("en-US")
    pages.add_page()
    pages.write_table()
    pages.write_pictures(pictures[:_MOST_PICTURES])
    pages.write_facts()
    return bytes(pages.output())


def _words(summary: Summary) -> str:
    rows = (words for row in summary.rows for words in row.cells)
    facts = (words for fact in summary.facts for words in fact)
    return printable("\n".join((summary.title, *summary.marks, *summary.headings, *rows, *facts)))


class _Pages(FPDF):
    def __init__(self, summary: Summary, identifier: str) -> None:
        super().__init__(format="A4")
        self._summary = summary
        self._identifier = identifier
        self.set_margin(_MARGIN)
        self.set_auto_page_break(True, _MARGIN + _GAP)
        add_font(self, _FAMILY, _words(summary))

    def file_id(self) -> str:  # the name is fpdf2's
        """One identifier for this file and for the one that it was first."""
        return f"<{self._identifier}><{self._identifier}>"

    def header(self) -> None:
        """Title and marks, on each page."""
        title, mark, letters = _SIZES
        self._lines([self._summary.title], title, _BLACK)
        self._lines(self._summary.marks, mark, _MARK)
        self.ln(_GAP)
        self._pen(letters, _BLACK)

    def footer(self) -> None:
        """Mark and number of the page."""
        self.set_y(-_MARGIN)
        self._pen(_SIZES[2], _GREY)
        self.cell(0, _LINE, printable(f"{self._summary.marks[0]}. Page {self.page_no()} of {{nb}}"))

    def write_table(self) -> None:
        """A row for each finding, the headings again on each page."""
        shares = (_SWATCH, *(share * (1 - _SWATCH) for share in self._summary.shares))
        self._pen(_SIZES[2], _BLACK)
        with self.table(
            col_widths=shares,
            line_height=_LINE,
            text_align="LEFT",
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(color=_GREY),
            padding=1,
        ) as table:
            headings = table.row()
            for words in ("", *self._summary.headings):
                headings.cell(printable(words))
            for one in self._summary.rows:
                row = table.row()
                row.cell("", style=FontFace(fill_color=one.rgb) if one.rgb is not None else None)
                for words in one.cells:
                    row.cell("\n".join(printable(line) for line in words.splitlines()))
        self.ln(_GAP)

    def write_pictures(self, pictures: Sequence[Picture]) -> None:
        """So many beside each other, none of them broken by the end of a page."""
        side = (self.epw - _GAP * (_PER_ROW - 1)) / _PER_ROW
        for start in range(0, len(pictures), _PER_ROW):
            row = [one.image() for one in pictures[start : start + _PER_ROW]]
            sizes = [(one.width * side / max(one.size), one.height * side / max(one.size)) for one in row]
            highest = max(height for _, height in sizes)
            if self.will_page_break(highest):
                self.add_page()
            top = self.get_y()
            for place, (picture, (width, height)) in enumerate(zip(row, sizes, strict=True)):
                self.image(picture, self.l_margin + place * (side + _GAP), top, width, height)
            self.set_y(top + highest + _GAP)

    def write_facts(self) -> None:
        """Name and value of each."""
        for name, value in self._summary.facts:
            self._pen(_SIZES[2], _GREY)
            top, page = self.get_y(), self.page
            self.set_x(self.l_margin + _NAMES)
            self._pen(_SIZES[2], _BLACK)
            self.multi_cell(0, _LINE, printable(value), align="LEFT", new_x="LMARGIN", new_y="NEXT")
            after = self.get_y()
            if self.page == page:
                self._pen(_SIZES[2], _GREY)
                self.set_xy(self.l_margin, top)
                self.cell(_NAMES, _LINE, printable(name))
                self.set_xy(self.l_margin, after)

    def _lines(self, lines: Sequence[str], size: int, color: Rgb) -> None:
        self._pen(size, color)
        for words in lines:
            self.multi_cell(0, size * 0.5, printable(words), align="LEFT", new_x="LMARGIN", new_y="NEXT")

    def _pen(self, size: int, color: Rgb) -> None:
        self.set_font(_FAMILY, size=size)
        self.set_text_color(*color)
