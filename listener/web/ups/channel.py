"""``/dicom-web/subscribers/{aet}``: the WebSocket over which a subscriber is told (PS3.18 section 8.10).

Events are rows until they have been sent; so who was away is told what he missed, for as long as it is kept. One whose
connection broke in the midst may be told the same twice; what was on its way then, and had left us, is not told again.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request, WebSocket, WebSocketDisconnect

from listener.errors import ListenerError
from listener.web.access import Permission, Principal, require
from listener.web.dicomweb.addresses import PREFIX
from listener.web.dicomweb.dicom_json import dumped
from listener.web.login import AccountGate
from listener.web.ups.subscriptions import checked_ae_title
from storage.domain.workitem_event import message
from storage.errors import StorageError
from storage.ports.workitems import Subscriptions

_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 10.0  # between two looks at whether the account may still be here
_CHANNELS = 100
_CHANNELS_OF_ONE = 8
_GOING_AWAY, _POLICY = 1001, 1008

ViewsWorkitems = Annotated[Principal, Depends(require(Permission.VIEW_STUDIES))]


class _Places:
    """How many channels are open, in all and by account."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def taken(self, name: str) -> Iterator[bool]:
        """Counts a channel for as long as the block; ``False`` where no further one may be opened."""
        free = self._open.total() < _CHANNELS and self._open[name] < _CHANNELS_OF_ONE
        self._open[name] += free
        try:
            yield free
        finally:
            self._open[name] -= free


def channel_router(subscriptions: Subscriptions, gate: AccountGate, stopping: threading.Event) -> APIRouter:
    """The channel of an AE title, until the client leaves, the account ends or the process stops."""
    router = APIRouter(prefix=PREFIX)
    places = _Places()

    @router.websocket("/subscribers/{aet}")
    async def channel(socket: WebSocket, aet: str, principal: ViewsWorkitems) -> None:
        """Send each event as one message."""
        title = checked_ae_title(aet)
        await run_sync(subscriptions.open, title, principal.name)
        with places.taken(principal.name) as free:
            if not free:
                await socket.close(_POLICY)
                return
            await socket.accept()
            leaving = asyncio.create_task(_gone(socket))
            try:
                code = await _tell(socket, subscriptions, title, gate, stopping, leaving)
                with contextlib.suppress(RuntimeError):  # it has just gone
                    await socket.close(code)
            except WebSocketDisconnect:
                pass
            finally:
                leaving.cancel()

    return router


async def _tell(
    socket: WebSocket,
    subscriptions: Subscriptions,
    title: str,
    gate: AccountGate,
    stopping: threading.Event,
    leaving: "asyncio.Task[None]",
) -> int:
    """Send what there is and what comes; the code with which the channel ends."""
    looked = time.monotonic()
    while not (stopping.is_set() or leaving.done()):
        try:
            if time.monotonic() - looked > _AGAIN_SECONDS:
                principal = await run_sync(gate.authenticate, cast(Request, socket))
                if principal is None or not principal.may(Permission.VIEW_STUDIES):
                    return _POLICY
                looked = time.monotonic()  # who cannot be asked now is asked again before anything else is told
            events = await run_sync(subscriptions.events, title)
            for event in events:
                await socket.send_text(dumped(message(event)).decode("ascii"))
            if events:
                await run_sync(subscriptions.sent, title, [event.event_id for event in events])
                continue
        except (StorageError, ListenerError):
            pass  # the database is away, or nobody can be told from anybody now, so nothing is told
        await asyncio.wait((leaving,), timeout=_LOOK_SECONDS)
    return _GOING_AWAY


async def _gone(socket: WebSocket) -> None:
    """Returns once the client has left; what it says meanwhile is not looked at."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
