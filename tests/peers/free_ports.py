"""Ports for programs that cannot be asked for a free one of their own choice."""

import contextlib
import os
import random
import socket

_PORTS = range(12_000, 32_000)
_PROCESSES = 4  # at most, of one test run


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to whoever connects: nobody else gets one of them meanwhile.

    Each process of a test run draws from a share of its own, so none takes a port of another between look and use.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = _PORTS[process % _PROCESSES :: _PROCESSES]
    found: list[int] = []
    while len(found) < count:
        port = random.choice(share)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in found:
                found.append(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
