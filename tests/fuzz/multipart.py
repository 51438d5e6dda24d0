"""Any body is read part by part, or named malformed; however it is cut into pieces, the same comes of it."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from listener.web.multipart_reader import MalformedMultipart, MultipartLimits, MultipartReader
from listener.web.part10_head import read_file_meta
from storage.errors import UnreadableDataSet

_LIMITS = MultipartLimits(parts=50, header_bytes=512, preamble_bytes=256)
_PART = b'--b0\r\nContent-Type: application/dicom; x="a\\"b"\r\nContent-Disposition: form-data; name=files\r\n\r\n'
_META = (
    bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x06\x001.2.3\x00" + b"\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\x00"
)

SEEDS = (
    b"\x00" + _PART + b"content\r\n--b0--",
    b"\x07preamble\r\n" + _PART + b"\r\n--b\r\n--b0\r\nA: 1\r\n\r\n\r\n--b0--epilogue",
    b"\x10" + _PART + _META + b"\x08\x00\x05\x00CS\x00\x00\r\n--b0--",
    b"\x01--b0 \t\r\n\r\n\r\n--b0--",
)

Read = tuple[list[tuple[dict[str, str], str, bytes]], bool]


def check(data: bytes) -> None:
    """Read it in pieces of a size that its first byte gives, and whole."""
    size, body = max(data[:1] + b"\x01"), data[1:]
    in_pieces, whole = _read(body, size), _read(body, len(body) or 1)
    assert in_pieces == whole, "it depends on the pieces"
    for _, _, content in whole[0]:
        try:
            read_file_meta(content)
        except UnreadableDataSet:
            continue


def _read(body: bytes, size: int) -> Read:
    found: list[tuple[dict[str, str], str, bytes]] = []

    async def read() -> None:
        reader = MultipartReader(_pieces(body, size), "b0", _LIMITS)
        async for part in reader.parts():
            content = bytearray()
            async for chunk in part.chunks:
                content += chunk
                assert len(reader._window) <= size + 1024, "the window grows"
            found.append((part.headers, part.content_type.media_type, bytes(content)))

    try:
        _run(read())
    except MalformedMultipart:
        return found, False
    assert sum(len(content) for _, _, content in found) <= len(body)
    return found, True


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Nothing in it waits, so one step is all of it; an event loop would cost more than the reading."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")
