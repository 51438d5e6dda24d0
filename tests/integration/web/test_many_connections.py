"""What one peer can take from the others by opening connections."""

import socket
import time

import pytest

from listener.web import server, small_bodies
from listener.web.pages import live
from tests.peers.web_door import WebDoor

_DEADLINE = 30.0


def _sent(door: WebDoor, content: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", door.port), _DEADLINE)
    connection.sendall(content.encode())
    return connection


def _head(path: str, *headers: str) -> str:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""))


def test_a_connection_without_a_whole_request_is_closed(web_door: WebDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether nothing came, half a header, or half a second one; nobody has to log in to open connections."""
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    half = _head("/health/live")[:-4]

    for content, answered in (("", False), (half, False), (_head("/health/live") + half, True)):
        with _sent(web_door, content) as connection:
            received = b"".join(iter(lambda c=connection: c.recv(4096), b""))  # type: ignore[misc]
        assert received.startswith(b"HTTP/1.1 200") == answered, content


def test_streams_asked_for_at_once_are_counted_too(web_door: WebDoor) -> None:
    """One account cannot have more pages listen than it may, and gets the room back when it closes them."""
    session = web_door.logged_in("viewer").cookies["overread"]
    asked = [_sent(web_door, _head("/events", f"Cookie: overread={session}")) for _ in range(3 * live._STREAMS_OF_ONE)]
    statuses = sorted(connection.recv(12)[-3:] for connection in asked)
    assert statuses == [b"200"] * live._STREAMS_OF_ONE + [b"503"] * 2 * live._STREAMS_OF_ONE

    for connection in asked:
        connection.close()
    deadline = time.monotonic() + _DEADLINE
    status = b""
    while status != b"200" and time.monotonic() < deadline:
        with _sent(web_door, _head("/events", f"Cookie: overread={session}")) as again:
            status = again.recv(12)[-3:]
    assert status == b"200"


def test_a_form_that_trickles_is_ended(web_door: WebDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to log in to send a form, so a body that does not come is told and its connection closed."""
    monkeypatch.setattr(small_bodies, "_SECONDS", 0.5)
    head = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"

    with _sent(web_door, f"{head}Content-Length: 1000\r\n\r\nname=") as connection:
        received = b"".join(iter(lambda: connection.recv(4096), b""))

    assert received.startswith(b"HTTP/1.1 408")
