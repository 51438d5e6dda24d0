"""A connection that was accepted, whatever it becomes."""

import contextlib
import socket
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Connection:
    """The socket, which TLS exchanges for one of its own, and where the peer is."""

    socket: socket.socket
    address: str

    def cut(self) -> None:
        """End it from another thread; its own one sees the end and closes it."""
        with contextlib.suppress(OSError):
            # Not TLS's own way, which would let the peer's next bytes be read as if they were not encrypted.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give it back to the system."""
        with contextlib.suppress(OSError):
            self.socket.close()
