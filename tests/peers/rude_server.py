"""A server that answers some requests with bytes of the test's choosing, and passes the others on to an honest one."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Rude = Callable[[socket.socket, threading.Event], None]  # the caller's connection, and whether the test has ended


@dataclass
class RudeServer:
    """Rude once ``rude`` is set, to requests for inference only."""

    port: int
    rude: Rude | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def rude_before(honest_port: int) -> Iterator[RudeServer]:
    """A listener on a free port of loopback in front of an honest server."""
    door = socket.create_server(("127.0.0.1", 0))
    server, ended = RudeServer(door.getsockname()[1]), threading.Event()

    def accept() -> None:
        while True:
            try:
                caller, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(caller, server, honest_port, ended), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        ended.set()
        door.close()


def _serve(caller: socket.socket, server: RudeServer, honest_port: int, ended: threading.Event) -> None:
    """One request after another, each passed on over a connection of its own."""
    with caller, contextlib.suppress(OSError):
        while request := _whole_request(caller):
            if server.rude is not None and b"/infer" in request.split(b"\r\n", 1)[0]:
                server.rude(caller, ended)
                return
            with socket.create_connection(("127.0.0.1", honest_port)) as honest:
                honest.sendall(request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
                while chunk := honest.recv(65536):
                    caller.sendall(chunk)
            return


def _whole_request(caller: socket.socket) -> bytes:
    content = b""
    while b"\r\n\r\n" not in content:
        chunk = caller.recv(65536)
        if not chunk:
            return b""
        content += chunk
    head, _, body = content.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += caller.recv(65536)
    return head + b"\r\n\r\n" + body
