"""Text from the wire, made harmless for a terminal and for a spreadsheet."""

import unicodedata

# Control characters, invisible formatting (which can turn the direction of text), separators of lines, lone surrogates.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# What makes a spreadsheet take a cell for a formula; the wide forms count in East Asian versions.
_FORMULA_SIGNS = "=+-@|%＝＋－＠"


def visible(text: str) -> str:
    """The text with every character that could act instead of being read written as an escape, such as ``\\u001b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(letter) if unicodedata.category(letter) in _UNSEEN else letter for letter in text)


def cell(text: str) -> str:
    """The text as a cell of a CSV file: visible, and with an apostrophe before what would count as a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(tuple(_FORMULA_SIGNS)) else shown


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
