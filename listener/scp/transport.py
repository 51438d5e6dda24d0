"""One connection: bytes in, bytes out, and never waiting longer than a tick."""

import contextlib
import socket
import struct
from typing import Protocol

from listener.scp.limits import SEND_DEADLINE, TICK


class PeerGone(Exception):
    """The peer closed the connection or cannot be reached any more."""


class Transport(Protocol):
    """What the upper layer needs of a connection, with or without TLS; ``subject`` is of the client's certificate."""

    subject: str

    def receive_into(self, room: memoryview) -> int:
        """Put what has come into ``room`` and return how much.

        Raises:
            TimeoutError: nothing came for a tick.
            PeerGone: nothing will come.
        """
        ...

    def send(self, data: bytes) -> None:
        """Send everything. Raises PeerGone, also when the peer does not read."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def prepare(listening: socket.socket) -> None:
    """Set what accepted connections inherit, so that none of it costs a call for each of them."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _seconds(TICK))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _seconds(SEND_DEADLINE))


class PlainTransport:
    """Implements Transport over TCP, with the kernel's own timeouts: one system call for each receive."""

    subject = ""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._receive_into = connection.recv_into

    def receive_into(self, room: memoryview) -> int:
        """Put what has come into ``room``."""
        try:
            count = self._receive_into(room)
            # Senders that leave Nagle's algorithm on wait for our acknowledgement of each PDU: 22 instances a second
            # without this line, 1,500 with it.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except BlockingIOError:
            raise TimeoutError from None
        except OSError as error:
            raise PeerGone from error
        if not count:
            raise PeerGone
        return count

    def send(self, data: bytes) -> None:
        """Send everything."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise PeerGone from error

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()


def _seconds(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
