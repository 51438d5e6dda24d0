"""Lets the pages of stated other origins read DICOMweb, so that a web viewer can be pointed at us; nothing else.

Only reading, only under ``/dicom-web``, and never with a cookie: the viewer sends a token or password of its own.
"""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = "/dicom-web/"
_READING = "GET, HEAD"
_SENT = "Authorization, Accept"
_SHOWN = "Content-Location, Retry-After, Warning, X-Total-Count"
_PREFLIGHT_SECONDS = 600


class CrossOriginReading:
    """Tells browsers that the stated origins may read."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a browser's question beforehand, or add what it needs to an answer."""
        origin = Headers(scope=scope).get("origin", "") if scope["type"] == "http" else ""
        if origin not in self._origins or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _preflight(origin)(scope, receive, send)
        else:
            await self._app(scope, receive, _telling(send, origin))


def _preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": _READING,
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
            "Vary": "Origin",
        },
    )


def _telling(send: Send, origin: str) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _SHOWN
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_headers
