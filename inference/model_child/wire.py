"""How the worker and its child speak: lengths, JSON and bytes over a socket pair, so that nothing received is ever run.

A message is the size of its JSON and the number of its contents (4 bytes each, little endian), then the JSON, then the
contents. A content is any number of chunks, each with its size before it (8 bytes), and ends with a size of 0.
"""

import json
import select
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

_HEAD = struct.Struct("<LL")
_CHUNK = struct.Struct("<Q")
_GATHERED = 2**20  # bytes; smaller pieces are sent together
_JSON_LIMIT = 2**29  # a study of a million instances is less
_CONTENTS_LIMIT = 2**33  # bytes of all contents of one message
_MOST_CONTENTS = 2**16


class Garbled(Exception):
    """What came is no message."""


class Closed(Exception):
    """The other side is gone."""


class Wire:
    """One end of the pair; it sends and receives whole messages, and waits for as long as that takes."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._incoming = end.makefile("rb")
        self._outgoing = end.makefile("wb", buffering=_GATHERED)

    def send(self, told: Mapping[str, Any], contents: Sequence[Iterable[bytes]] = ()) -> None:
        """Send one message; each content is read once, as it is sent.

        Raises:
            Closed: the other side does not read any more.
        """
        encoded = json.dumps(told).encode()
        chunks = [_chunks(content) for content in contents]
        try:
            self._outgoing.write(_HEAD.pack(len(encoded), len(chunks)) + encoded)
            for content in chunks:
                for chunk in content:
                    self._outgoing.write(_CHUNK.pack(len(chunk)))
                    self._outgoing.write(chunk)
                self._outgoing.write(_CHUNK.pack(0))
            self._outgoing.flush()
        except (OSError, ValueError) as error:  # a closed file raises ValueError
            raise Closed from error

    def receive(self) -> tuple[dict[str, Any], list[list[bytes]]]:
        """The next message: what is told, and the chunks of each content.

        Raises:
            Closed: there is none, because the other side is gone.
            Garbled: it is none of ours, or larger than any of ours.
        """
        told_size, count = _HEAD.unpack(self._exactly(_HEAD.size))
        if told_size > _JSON_LIMIT or count > _MOST_CONTENTS:
            raise Garbled
        try:
            told = json.loads(self._exactly(told_size))
        except (ValueError, RecursionError) as error:
            raise Garbled from error
        if not isinstance(told, dict):
            raise Garbled
        left = _CONTENTS_LIMIT
        contents = []
        for _ in range(count):
            content = []
            while size := _CHUNK.unpack(self._exactly(_CHUNK.size))[0]:
                left -= size
                if left < 0:
                    raise Garbled
                content.append(self._exactly(size))
            contents.append(content)
        return told, contents

    def has_more(self, seconds: float) -> bool:
        """Whether anything comes within this time, be it the end; asked between two messages.

        Raises:
            Closed: this end was closed.
        """
        poll = select.poll()
        try:
            poll.register(self._end, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        except (OSError, ValueError) as error:
            raise Closed from error

    def close(self) -> None:
        """Close this end; the other one notices."""
        for file in (self._outgoing, self._incoming, self._end):
            with suppress(OSError, ValueError):
                file.close()

    def _exactly(self, size: int) -> bytes:
        try:
            content = self._incoming.read(size)
        except (OSError, ValueError) as error:
            raise Closed from error
        if len(content) != size:
            raise Closed
        return content


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces, none of them empty."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        if not len(piece):
            continue
        gathered.append(piece)
        size += len(piece)
        if size >= _GATHERED:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
