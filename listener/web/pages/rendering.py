"""Turns facts into a page; everything is escaped unless a template of ours says otherwise."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from listener.web.access import Permission

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_HERE = Path(__file__).parent

# State → the kind of colour; the word is always shown too.
_KINDS: Mapping[str, str] = {
    "done": "good",
    "completed": "good",
    "analysed": "good",
    "acknowledged": "good",
    "active": "good",
    "stable": "good",
    "watch": "odd",
    "drifted": "bad",
    "success": "good",
    "accepted": "good",
    "changed": "odd",
    "failed": "bad",
    "parked": "bad",
    "paused": "bad",
    "refused": "bad",
    "given-up": "bad",
    "found": "good",
    "committed": "good",
    "lost": "bad",
    "put-off": "odd",
    "unproven": "bad",
    "rejected": "odd",
    "serious-failure": "bad",
    "not-analysed": "odd",
    "canceled": "odd",
    "disabled": "odd",
    "shadow": "odd",
    "minor-failure": "odd",
    "queued": "busy",
    "receiving": "busy",
    "analysing": "busy",
    "delivering": "busy",
    "in_progress": "busy",
}


def render(request: Request, template: str, **context: Any) -> HTMLResponse:  # noqa: ANN401 - whatever a page shows
    """A page for whoever makes the request."""
    text = (
        _environment()
        .get_template(template)
        .render(
            principal=getattr(request.state, "principal", None),
            form_token=getattr(request.state, "form_token", ""),
            here=request.url.path,
            **context,
        )
    )
    return HTMLResponse(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=in_order,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"when": when, "bytes": in_bytes, "kind": lambda state: _KINDS.get(state, "plain")}
    environment.globals |= {"asset": asset_address, "Permission": Permission}
    environment.globals["parts"] = environment.get_template("parts.html").module
    return environment


def in_order(shown: object) -> object:
    """What is shown, with characters that would turn the direction of the text written as escapes (UAX #9, 2.1 to 2.2).

    They would let an identifier, or a sentence, be read as another one than it is.
    """
    if type(shown) is not str or shown.isascii():
        return shown
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def when(time: str | datetime | None) -> Markup:
    """A time in UTC; the page's script adds the reader's own as a hint."""
    if not time:
        return Markup("–")
    moment = (datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.isoformat(timespec="milliseconds"), moment.strftime("%Y-%m-%d %H:%M:%SZ")
    )


def in_bytes(number: float) -> str:
    """A size as people say it."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("the last unit takes everything")


@cache
def assets() -> Mapping[str, bytes]:
    """The style sheet, the script and the icon, by name."""
    return {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir()) if path.is_file()}


@cache
def asset_address(name: str) -> str:
    """Where a page finds an asset; a new release has a new address, so that browsers may keep the old one."""
    return f"/static/{name}?v={hashlib.sha256(assets()[name]).hexdigest()[:12]}"
