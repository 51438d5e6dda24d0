"""That the font of a PDF costs little shows in nothing."""

from datetime import UTC, datetime

import pytest

from inference.evidence import pdf_font
from inference.evidence.summary import Row, Summary
from inference.evidence.summary_pdf import summary_pdf


def _pdf(words: str) -> bytes:
    summary = Summary(
        words, ("A mark.",), ("Finding", "Value"), (0.5, 0.5), (Row(None, (words, "1")),), (("Of", words),)
    )
    return summary_pdf(summary, [], datetime(2024, 5, 6, tzinfo=UTC), "0" * 32, "Overread")


@pytest.mark.parametrize("words", ["Liver 1,234.5 cm³", "Ärzte – œuvre ≥ 5 µm …", "Печень 5", "肝"])
def test_a_pdf_has_the_same_bytes_whatever_its_letters_are_cut_from(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual letters are taken out of a part of the font; the whole font gives no other file."""
    written = _pdf(words)

    monkeypatch.setattr(pdf_font, "_USUAL", frozenset[int]())

    assert _pdf(words) == written
