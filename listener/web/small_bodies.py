"""Forms of pages are small and come at once; a body that is neither is ended, so that it holds no connection."""

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from listener.web.access import BASIC_PREFIXES

_LIMIT = 64 * 1024  # bytes
_SECONDS = 20.0
_CLOSE = {"Connection": "close"}


class SmallBodies:
    """Bounds the bodies of everything but programs' uploads, which have limits of their own (`listener.web.body`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application read no more, and no longer, than that."""
        if scope["type"] != "http" or scope["path"].startswith(BASIC_PREFIXES):
            await self._app(scope, receive, send)
            return
        received, complete = 0, False
        until = time.monotonic() + _SECONDS

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # what comes now is that the client goes away
                return await receive()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The form came too slowly; send it again.", _CLOSE) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > _LIMIT:
                raise HTTPException(413, headers=_CLOSE)
            return message

        await self._app(scope, bounded, send)
