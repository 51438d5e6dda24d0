"""Reading a request's body within limits: how large it may be, how slowly it may come, how many come at once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.exceptions import HTTPException

_CLOSE = {"Connection": "close"}  # what is left of the body is not read


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may cost.

    A sender that pauses longer than ``pause_seconds``, or that after ``grace_seconds`` of waiting for it has sent
    fewer than ``slowest_rate`` bytes a second, is cut off: its request holds one of few places.
    """

    max_bytes: int
    pause_seconds: float = 30.0
    grace_seconds: float = 30.0
    slowest_rate: int = 4096


class UploadPlaces:
    """Counts the bodies that are being received; one account leaves a place for the others, where there are several."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._most_of_one = max(places - 1, 1)
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, account: str) -> Iterator[None]:
        """Hold a place for the block.

        Raises:
            HTTPException: 503, all are taken, or as many as the account may have.
        """
        if self._taken.total() >= self._places or self._taken[account] >= self._most_of_one:
            raise HTTPException(
                503, "As many uploads as may run at once are running; send it again later.", {"Retry-After": "5"}
            )
        self._taken[account] += 1
        try:
            yield
        finally:
            self._taken[account] -= 1
            if not self._taken[account]:
                del self._taken[account]


def require_plain_body(request: Request) -> None:
    """Refuse a compressed body: its size would not be known before it is unpacked.

    Raises:
        HTTPException: 415.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise HTTPException(415, "The body has a Content-Encoding; send it without one.", _CLOSE)


async def bounded_body(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The chunks of the body as they come.

    Raises:
        HTTPException: 413 when it is larger than allowed, before it is read where its length is told; 408 when it
            comes too slowly.
        ClientDisconnect: the sender went away.
    """
    if _declared_length(request) > limits.max_bytes:
        raise _too_large(limits)
    received, waited = 0, 0.0
    chunks = request.stream()
    while True:
        before = time.monotonic()
        try:
            async with asyncio.timeout(limits.pause_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _too_slow() from None
        waited += time.monotonic() - before
        received += len(chunk)
        if received > limits.max_bytes:
            raise _too_large(limits)
        if waited > limits.grace_seconds and received < waited * limits.slowest_rate:
            raise _too_slow()
        if chunk:
            yield chunk


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0").strip()
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def _too_large(limits: BodyLimits) -> HTTPException:
    return HTTPException(413, f"The body is larger than {limits.max_bytes} bytes; send fewer at a time.", _CLOSE)


def _too_slow() -> HTTPException:
    return HTTPException(408, "The body came too slowly, so the request was ended; send it again.", _CLOSE)
