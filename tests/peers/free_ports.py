"""Ports for programs that cannot be asked for a free one of their own choice."""

import contextlib
import random
import socket

_PORTS = (12_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to whoever connects: nobody else gets one of them meanwhile."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in found:
                found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
