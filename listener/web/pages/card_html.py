"""An algorithm's card as a part of a page: headings, lists, tables and links of it, and nothing that could do anything.

A card is written by strangers. Its HTML is shown as the text it is, pictures are left as text too, because a page of
ours loads nothing from elsewhere, and a link leads to the web or is none.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from listener.web.pages.rendering import in_order

_LINKS = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
_LONGEST = 2**17  # characters; what is longer is no card, and a page must not take seconds
_DEEPER = 2  # the page has a heading of its own, and the card one of its section


@lru_cache(maxsize=32)
def card_html(card: str) -> Markup:
    """The card, a CommonMark text with tables, as HTML that is safe in a page."""
    if len(card) > _LONGEST:
        return Markup('<pre class="text">{}</pre>').format(escape(card))
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    setattr(reader, "validateLink", lambda url: _LINKS.match(url.strip()) is not None)  # noqa: B010 - a method of theirs
    tokens = reader.parse(str(in_order(card)))
    _fit_in(tokens)
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - made from escaped text


def _fit_in(tokens: Sequence[Token]) -> None:
    """Headings a little deeper, and links that tell nobody where they were followed."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _DEEPER, 6)}"
        elif token.type == "link_open":
            token.attrSet("rel", "noreferrer noopener")
        _fit_in(token.children or ())
