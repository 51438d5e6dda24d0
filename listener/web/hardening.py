"""What holds for every request and answer: who may speak to us, for which name, from which page, and what browsers do.

Plain ASGI, outermost first: the stated proxy, the Host header, requests that another site made a browser send, the
headers of every answer, and a last boundary that lets no error's text out.
"""

import logging
import traceback
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from listener.loopback import is_loopback
from listener.web.cross_origin import CrossOriginReading
from listener.web.dicomweb.addresses import VIEWER_PREFIX
from listener.web.settings import WebSettings
from listener.web.small_bodies import SmallBodies

log = logging.getLogger(__name__)

Networks = tuple[IPv4Network | IPv6Network, ...]

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PROBED = ("/health/live", "/health/ready", "/metrics")  # asked by address, from wherever the site watches
_ASKED = ("http", "websocket")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any referrer, browsers send no Origin with a form either
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# A prebuilt viewer brings styles in its elements, workers and pictures of its own making, and decoders that compile
# their own glue; it may still load and ask nothing from elsewhere.
VIEWER_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_STRICT_TRANSPORT = "max-age=31536000"


def harden(app: ASGIApp, web: WebSettings) -> ASGIApp:
    """The application behind everything that holds for all of it."""
    encrypted = bool(web.tls_certificate) or web.behind_proxy
    hardened: ASGIApp = _LastBoundary(SmallBodies(app))
    hardened = _SameSiteOnly(hardened)
    hardened = _KnownHostOnly(hardened, _host_names(web))
    hardened = _Headers(hardened, encrypted)
    if web.viewer_origins:
        hardened = CrossOriginReading(hardened, web.viewer_origins)
    if web.behind_proxy:
        trusted = [str(network) for network in web.proxy_addresses]
        # uvicorn's own reading of X-Forwarded-For and -Proto, believed from the stated proxy only.
        forwarded = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, hardened), trusted))
        hardened = _ProxyOnly(hardened, forwarded, web.proxy_addresses)
    return hardened


def _host_names(web: WebSettings) -> frozenset[str]:
    """The names that a Host header may have; empty for any."""
    if web.host_names:
        return frozenset(name.lower() for name in web.host_names)
    return _LOOPBACK_NAMES if is_loopback(web.host) and not web.behind_proxy else frozenset()


class _ProxyOnly:
    """Answers the stated proxy; from elsewhere only probes, which carry no password and get no patient's data."""

    def __init__(self, direct: ASGIApp, proxied: ASGIApp, networks: Networks) -> None:
        self._direct = direct
        self._proxied = proxied
        self._networks = networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_proxy(scope):
            await self._proxied(scope, receive, send)
        elif scope["path"] in _PROBED:
            await self._direct(scope, receive, send)
        else:
            sentence = "Only the reverse proxy is answered here; use its address."
            await _refuse(scope, receive, send, 403, sentence)

    def _is_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        address = ip_address(client[0]) if client else None
        return address is not None and any(address in network for network in self._networks)


class _KnownHostOnly:
    """Refuses another Host than ours, so that no other name leads a browser here (DNS rebinding)."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _ASKED or self._is_meant(scope):
            await self._app(scope, receive, send)
        else:
            sentence = "The name in the address is not one of this service; use another, or add it to [web] host_names."
            await _refuse(scope, receive, send, 421, sentence)

    def _is_meant(self, scope: Scope) -> bool:
        return not self._names or scope["path"] in _PROBED or _host(Headers(scope=scope)) in self._names


class _SameSiteOnly:
    """Refuses changes that another site made a browser send, whatever cookie or password the browser adds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in _SAFE_METHODS)
        if changes and _is_foreign(Headers(scope=scope)):
            await _refuse(scope, receive, send, 403, "The request came from a page of another site; nothing was done.")
        else:
            await self._app(scope, receive, send)


class _Headers:
    """Tells browsers what they may do with an answer; nothing is kept unless the answer says otherwise."""

    def __init__(self, app: ASGIApp, encrypted: bool) -> None:
        self._app = app
        self._always = {**SECURITY_HEADERS, **({"Strict-Transport-Security": _STRICT_TRANSPORT} if encrypted else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._always)
                if scope["path"].startswith(f"{VIEWER_PREFIX}/"):
                    headers.update(VIEWER_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _LastBoundary:
    """An error that nothing answered: one line in the log with its place, never its text, which may repeat anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:  # noqa: BLE001 - the last boundary
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("unexpected %s in %s (line %d)", type(error).__name__, place.name, place.lineno or 0)
            if not started and scope["type"] == "http":
                await _refuse(scope, receive, send, 500, "This is a fault of ours; the log says where.")


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    if scope["type"] in _ASKED:  # that of a WebSocket is refused as the request that opens it
        await JSONResponse({"detail": sentence}, status)(scope, receive, send)


def _host(headers: Headers) -> str:
    """The name in the Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{headers.get('host', '')}").hostname or "").lower()
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that the request came from another origin; programs say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
