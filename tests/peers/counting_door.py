"""A port in front of a PACS that counts who connects, and behind which the PACS may be down."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class CountingDoor:
    """While ``to`` is 0 it closes each connection at once, as a balancer does before servers that are down."""

    port: int
    to: int = 0
    connects: int = 0


@contextmanager
def counting_door() -> Iterator[CountingDoor]:
    """A free port of loopback; connections are passed on to the port ``to``."""
    listening = socket.create_server(("127.0.0.1", 0))
    door = CountingDoor(listening.getsockname()[1])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listening.accept()
                door.connects += 1
                if door.to:
                    threading.Thread(target=_join, args=(caller, door.to), daemon=True).start()
                else:
                    caller.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield door
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _join(caller: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError), caller, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_pass_on, args=(server, caller), daemon=True)
        back.start()
        _pass_on(caller, server)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
