"""Answers of several parts (RFC 2387), made while they are sent; a file passes in pieces."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import StreamingResponse

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class OutgoingPart:
    """One part: its media type with parameters, where it could be had alone, and its bytes."""

    content_type: str
    pieces: Iterable[bytes]
    location: str = ""


def multipart_response(parts: Iterable[OutgoingPart], part_type: str, status_code: int = 200) -> StreamingResponse:
    """A multipart/related answer."""
    boundary = secrets.token_hex(16)
    return StreamingResponse(
        _written(parts, boundary.encode()),
        status_code,
        media_type=f'multipart/related; type="{part_type}"; boundary={boundary}',
    )


def pieces_of(path: Path, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """A file, or a stretch of it, piece by piece. Raises OSError."""
    with path.open("rb") as file:
        file.seek(offset)
        left = length
        while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
            if left is not None:
                left -= len(piece)
            yield piece


def _written(parts: Iterable[OutgoingPart], boundary: bytes) -> Iterator[bytes]:
    for part in parts:
        location = f"Content-Location: {part.location}\r\n" if part.location else ""
        yield b"\r\n--%b\r\nContent-Type: %b\r\n%b\r\n" % (boundary, part.content_type.encode(), location.encode())
        yield from part.pieces
    yield b"\r\n--%b--\r\n" % boundary
