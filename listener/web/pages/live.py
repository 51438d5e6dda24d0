"""Tells open pages that something has changed, by server-sent events."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from listener.errors import ListenerError
from listener.web.access import Permission, Principal, require
from listener.web.login import EVENTS_PATH, AccountGate
from listener.web.pages.desk import Desk
from storage.domain.identifiers import checked_uid
from storage.errors import StorageError
from storage.ports.facts import Facts

_LOOK_SECONDS = 1.0
_PING_SECONDS = 20
_END_SECONDS = 5  # after a stop came, for streams to notice it and end as they should
_STREAMS = 100
_STREAMS_OF_ONE = 8


class TooManyStreams(ListenerError):
    """Too many pages are open at once; this one shows changes when it is loaded again."""


class Markers:
    """The change markers, each asked of the database at most once a second, however many pages are open."""

    def __init__(self, read: Callable[[str | None], int]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[str | None, tuple[float, int]] = {}

    def marker(self, study_instance_uid: str | None) -> int:
        """The marker of a study, or of everything. Raises StorageError."""
        with self._lock:
            now = time.monotonic()
            self._known = {key: known for key, known in self._known.items() if now - known[0] < _LOOK_SECONDS}
            if study_instance_uid not in self._known:
                self._known[study_instance_uid] = (now, self._read(study_instance_uid))
            return self._known[study_instance_uid][1]


class Streams:
    """How many streams are open, in all and by account."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    @contextmanager
    def one_more(self, name: str) -> Iterator[None]:
        """Counts a stream for as long as the block. Raises TooManyStreams when no further one may be opened."""
        if sum(self._open.values()) >= _STREAMS or self._open.get(name, 0) >= _STREAMS_OF_ONE:
            raise TooManyStreams
        self._open[name] = self._open.get(name, 0) + 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]


class _CountedStream(EventSourceResponse):
    """Counted from before its first byte, so that streams asked for at once are too, to its end."""

    def __init__(self, content: AsyncIterator[dict[str, str]], streams: Streams, name: str) -> None:
        super().__init__(content, ping=_PING_SECONDS, shutdown_grace_period=_END_SECONDS)
        self._streams = streams
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or raise TooManyStreams."""
        with self._streams.one_more(self._name):
            await super().__call__(scope, receive, send)


def live_region(desk: Desk, study_instance_uid: str = "") -> Facts:
    """Which changes a page listens for, and what it already shows; to be asked before the page's facts."""
    return {"study": study_instance_uid, "marker": desk.reading.change_marker(study_instance_uid or None)}


def live_router(desk: Desk, gate: AccountGate, stopping: threading.Event) -> APIRouter:
    """``/events``: one event per change, until the session ends, the browser leaves or the process stops."""
    router = APIRouter(include_in_schema=False)
    markers = Markers(desk.reading.change_marker)
    streams = Streams()

    @router.get(EVENTS_PATH)
    async def events(
        request: Request, viewer: Annotated[Principal, Depends(require(Permission.VIEW_STATUS))], study: str = ""
    ) -> Response:
        """A stream of change markers of one study, or of everything."""
        uid = checked_uid(study, "The address") if study else None

        async def changes() -> AsyncIterator[dict[str, str]]:
            last: int | None = None
            while not stopping.is_set():
                try:
                    if await run_in_threadpool(gate.authenticate, request) is None:
                        yield {"event": "ended", "data": ""}
                        return
                    current = await run_in_threadpool(markers.marker, uid)
                    if current != last:
                        yield {"event": "marker", "data": str(current)}
                        last = current
                except StorageError:
                    pass  # the database is away; the page keeps what it has
                await asyncio.sleep(_LOOK_SECONDS)

        return _CountedStream(changes(), streams, viewer.name)

    return router
