"""uvicorn's HTTP/1.1 with caps on open connections: a few hundred rude peers must not hold every socket there is."""

import asyncio
import logging
from collections import Counter
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from listener.web.client_certificate import remember_subject

log = logging.getLogger(__name__)

HEADER_LIMIT = 32 * 1024  # bytes of a request's line and header fields


class CappedHttp(H11Protocol):
    """One connection."""

    max_connections: ClassVar[int] = 500  # beyond these a new one is closed; each may need a file of ours too
    max_per_address: ClassVar[int] = 100

    _open_from: ClassVar[Counter[str]] = Counter()
    _address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected."""
        super().connection_made(transport)
        self.app_state = dict(self.app_state)
        remember_subject(self.app_state, transport.get_extra_info("ssl_object"))
        self._address = self.client[0] if self.client else ""
        self._open_from[self._address] += 1
        crowded = self._open_from[self._address] > self.max_per_address
        if len(self.connections) > self.max_connections or crowded:
            log.warning("A connection was closed at once: too many are open%s.", " from its address" if crowded else "")
            transport.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection becomes a WebSocket and is another protocol's; it counts among all, and by its account."""
        super().handle_websocket_upgrade(event)
        self._leave_address()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._leave_address()
        super().connection_lost(exc)

    def _leave_address(self) -> None:
        if self._address is not None:
            self._open_from[self._address] -= 1
            if not self._open_from[self._address]:
                del self._open_from[self._address]
            self._address = None


def protocol_for(behind_proxy: bool) -> type[asyncio.Protocol]:
    """The protocol to serve with; a stated proxy brings everybody from one address."""
    if not behind_proxy:
        return CappedHttp
    unlimited: dict[str, Any] = {"max_per_address": CappedHttp.max_connections}
    return cast(type[asyncio.Protocol], type("ProxiedHttp", (CappedHttp,), unlimited))
