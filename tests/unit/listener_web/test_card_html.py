"""A card is shown as its maker laid it out, and can do nothing to who reads it."""

from html.parser import HTMLParser

import pytest

from listener.web.pages.card_html import card_html


class _Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.words += data


def test_headings_lists_tables_and_links_of_a_card_are_shown_as_such() -> None:
    """Headings stand below those of the page; a link to the web tells it nothing of us."""
    seen = _Seen(
        card_html(
            "# Lungs\n\n## Limits\n\n- no *children*\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n[paper](https://x.example/1)"
        )
    )

    assert [tag for tag in seen.tags if tag in ("h3", "h4", "ul", "li", "em", "table", "td", "a")] == [
        *("h3", "h4", "ul", "li", "em", "table", "td", "td", "a")
    ]
    assert dict(seen.attributes) == {"href": "https://x.example/1", "rel": "noreferrer noopener"}


@pytest.mark.parametrize(
    "card",
    [
        "<script>alert(1)</script>",
        "text <img src=x onerror=alert(1)> text",
        "[a](javascript:alert(1))",
        "[a](  JaVaScRiPt:alert(1))",
        "[a](java&#115;cript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](/users)",
        "[a]: javascript:alert(1)\n\n[a]",
        "<javascript:alert(1)>",
        '[a](https://x.example/"onmouseover="alert(1))',
        "![a](https://x.example/seen.png)",
        "```<script>\nalert(1)\n```",
        "| <svg onload=alert(1)> |\n| - |\n| <b onclick=alert(1)> |",
        "<script>alert(1)</script>" * 10_000,
    ],
)
def test_nothing_in_a_card_can_do_anything(card: str) -> None:
    """No tag or attribute of the card's own, no address but of the web, nothing loaded from elsewhere."""
    seen = _Seen(card_html(card))

    assert not {"script", "img", "svg", "b"} & set(seen.tags)
    assert {name for name, _ in seen.attributes} <= {"href", "rel", "class"}
    assert all(str(value).startswith("https://x.example/") for name, value in seen.attributes if name == "href")
