"""Characters that turn the direction of text stand in a page as what they are."""

import pytest

from listener.web.pages.card_html import card_html
from listener.web.pages.rendering import _environment

_TURNING = [0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069]


@pytest.mark.parametrize("turning", _TURNING, ids=hex)
def test_an_identifier_cannot_be_read_as_another_one(turning: int) -> None:
    """An accession number, a title of an algorithm or a card is shown in the order of its characters."""
    sent = f"A1{chr(turning)}23"
    page = _environment().from_string('<b title="{{ sent }}">{{ sent }}</b>').render(sent=sent)

    assert page == f'<b title="A1\\u{turning:04x}23">A1\\u{turning:04x}23</b>'
    assert chr(turning) not in card_html(f"# {sent}\n\n`{sent}`")


def test_names_in_other_letters_stay_as_they_are() -> None:
    """Letters that are written from right to left, their marks, joiners and markup of ours are shown as they came."""
    name = "\u0645\u06cc\u200c\u062e \u200fO'Neil <b>"

    assert _environment().from_string("{{ name }}").render(name=name) == name.replace("'", "&#39;").replace(
        "<b>", "&lt;b&gt;"
    )
