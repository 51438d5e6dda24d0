"""Reads a multipart body (RFC 2046 section 5.1) part by part as it arrives; nothing of it is held but a window.

Libraries that read uploads put whole files into memory or into a temporary folder. An instance must go nowhere but
into the spool, and a hostile body must end at a limit and not at the end of our memory.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from listener.errors import ListenerError

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]", re.ASCII)
_CRLF = b"\r\n"


class MalformedMultipart(ListenerError):
    """The body is not well-formed multipart; correct the sender."""


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """What the parts of one body may cost beside their content."""

    parts: int = 50_000
    header_bytes: int = 8 * 1024
    preamble_bytes: int = 4 * 1024


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type in small letters, with its parameters."""

    media_type: str
    parameters: dict[str, str]


def content_type_of(value: str) -> ContentType:
    """Read a Content-Type or Content-Disposition value; an absent one is the empty media type."""
    kind, options = parse_options_header(value)
    return ContentType(
        kind.decode("latin-1"), {key.decode("latin-1").lower(): text.decode("latin-1") for key, text in options.items()}
    )


class Part:
    """One part: its header fields by lower-case name, and its content, which can be read once."""

    def __init__(self, headers: dict[str, str], chunks: AsyncIterator[bytes]) -> None:
        self.headers = headers
        self.chunks = chunks

    @property
    def content_type(self) -> ContentType:
        """What the part says that it holds."""
        return content_type_of(self.headers.get("content-type", ""))


class MultipartReader:
    """Finds the parts in a stream of chunks."""

    def __init__(
        self, chunks: AsyncIterator[bytes], boundary: str, limits: MultipartLimits = MultipartLimits()
    ) -> None:
        """Prepare to read; nothing is read yet.

        Raises:
            MalformedMultipart: the boundary is missing or not one of the Standard's.
        """
        if _BOUNDARY.fullmatch(boundary) is None:
            raise MalformedMultipart("The Content-Type names no valid boundary; add boundary=… of 1 to 70 characters.")
        self._chunks = chunks
        self._limits = limits
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._window = bytearray(_CRLF)  # so that a delimiter at the very start looks like any other

    async def parts(self) -> AsyncIterator[Part]:
        """Each part in turn; what the caller leaves of one is skipped.

        Raises:
            MalformedMultipart: the body breaks the format or a limit, or ends before its last delimiter.
        """
        skipped = 0
        async for chunk in self._until_delimiter():
            skipped += len(chunk)
            if skipped > self._limits.preamble_bytes:
                raise MalformedMultipart("No part begins near the start of the body; check the boundary.")
        count = 0
        while not await self._is_last_delimiter():
            count += 1
            if count > self._limits.parts:
                raise MalformedMultipart(f"The body has more than {self._limits.parts} parts; send fewer at a time.")
            part = Part(await self._headers(), self._until_delimiter())
            yield part
            async for _ in part.chunks:
                pass

    async def _until_delimiter(self) -> AsyncIterator[bytes]:
        keep = len(self._delimiter) - 1  # the delimiter may begin in these and end in the next chunk
        while True:
            end = self._window.find(self._delimiter)
            if end >= 0:
                content = bytes(self._window[:end])
                del self._window[: end + len(self._delimiter)]
                if content:
                    yield content
                return
            if len(self._window) > keep:
                content = bytes(self._window[:-keep])
                del self._window[:-keep]
                yield content
            await self._read_more()

    async def _is_last_delimiter(self) -> bool:
        while len(self._window) < 2:
            await self._read_more()
        return self._window.startswith(b"--")

    async def _headers(self) -> dict[str, str]:
        """The header fields of the part that begins now, up to and with the empty line."""
        longest = self._limits.header_bytes + len(_CRLF + _CRLF)
        while (end := self._window.find(_CRLF + _CRLF)) < 0 and len(self._window) < longest:
            await self._read_more()
        if not 0 <= end <= self._limits.header_bytes:
            raise MalformedMultipart(f"The header of a part is longer than {self._limits.header_bytes} bytes.")
        padding, *lines = bytes(self._window[:end]).decode("latin-1").split("\r\n")
        del self._window[: end + 4]
        if padding.strip(" \t"):
            raise MalformedMultipart("A boundary is followed by other text on its line.")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedMultipart("The header of a part holds a line that is no field.")
            headers[name.strip().lower()] = value.strip()
        return headers

    async def _read_more(self) -> None:
        try:
            self._window += await anext(self._chunks)
        except StopAsyncIteration:
            raise MalformedMultipart("The body ends before its last boundary; send it again.") from None
