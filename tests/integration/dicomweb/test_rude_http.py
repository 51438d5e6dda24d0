"""Peers that hold connections and bodies open are let go, and the others are served meanwhile."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from listener.web.body import BodyLimits
from listener.web.connection_caps import HEADER_LIMIT, CappedHttp
from tests.integration.dicomweb.conftest import CONTENT_TYPE, multipart
from tests.peers.web_door import WebDoor

_REQUEST = b"POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic b3BlcmF0b3I6eA==\r\n"


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection that waits at most a minute for an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        yield peer


def rest_of(peer: socket.socket) -> bytes:
    """What still comes until the other side closes."""
    content = b""
    try:
        while piece := peer.recv(65536):
            content += piece
    except ConnectionResetError:
        pass
    return content


def test_one_address_cannot_take_every_connection(api_door: WebDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap of an address a new connection is closed; when others end, it is let in again."""
    monkeypatch.setattr(CappedHttp, "max_per_address", 3)
    held = [socket.create_connection(("127.0.0.1", api_door.port), timeout=60) for _ in range(3)]
    try:
        for peer in held:
            peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert peer.recv(65536).startswith(b"HTTP/1.1 200")
            peer.sendall(b"GET ")
        with connected(api_door.port) as another, contextlib.suppress(ConnectionError):
            another.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert rest_of(another) == b""
    finally:
        for peer in held:
            peer.close()
    for _ in range(100):  # our side learns of the ends a moment later
        with connected(api_door.port) as another:
            another.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if rest_of(another).startswith(b"HTTP/1.1 200"):
                return
    raise AssertionError("the connections that ended still count")


def test_honest_clients_are_served_beside_hostile_ones(api_door: WebDoor) -> None:
    """A hundred and fifty connections that bring half a header or trickle a form keep nobody of another address out."""
    hostile = []
    try:
        for number in range(150):
            peer = socket.create_connection(("127.0.0.1", api_door.port), timeout=60)
            hostile.append(peer)
            with contextlib.suppress(ConnectionError):  # beyond the cap of its address
                peer.sendall(
                    b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
                    if number % 2
                    else b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999\r\n\r\nname="
                )
        for _ in range(20):
            with socket.create_connection(
                ("127.0.0.1", api_door.port), timeout=60, source_address=("127.0.0.2", 0)
            ) as honest:
                honest.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                assert rest_of(honest).startswith(b"HTTP/1.1 200")
    finally:
        for peer in hostile:
            peer.close()


def test_a_header_that_is_too_large_is_refused(api_door: WebDoor) -> None:
    """Header fields end at a limit."""
    with connected(api_door.port) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * (HEADER_LIMIT + 70_000))
        assert rest_of(peer)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (BodyLimits(2**20, pause_seconds=0.2), 408),
        (BodyLimits(2**20, grace_seconds=0.0, slowest_rate=10**9), 408),
        (BodyLimits(100), 413),
    ],
)
def test_a_body_that_is_slow_or_endless_is_ended(open_web_door, limits: BodyLimits, told: int) -> None:
    """A pause, a trickle and a chunked body without end each get their status, and the place is free again."""
    door = open_web_door(limits=limits, places=1)
    head = b"Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % CONTENT_TYPE.encode()
    for _ in range(2):  # the second would find no place if the first still held it
        with connected(door.port) as peer:
            peer.sendall(_REQUEST + head + b"c8\r\n" + b"-" * 200 + b"\r\n")
            assert peer.recv(65536).startswith(b"HTTP/1.1 %d" % told)


def test_a_length_of_four_gigabytes_is_refused_unread(open_web_door) -> None:
    """What a body says of its length is enough to refuse it."""
    door = open_web_door()
    with connected(door.port) as peer:
        peer.sendall(_REQUEST + b"Content-Type: %s\r\nContent-Length: 4294967296\r\n\r\n" % CONTENT_TYPE.encode())
        assert peer.recv(65536).startswith(b"HTTP/1.1 413")


def test_no_more_uploads_run_at_once_than_there_are_places(open_web_door) -> None:
    """One more is told to come again; afterwards it may."""
    door = open_web_door(places=1)
    body = multipart(b"x")
    head = _REQUEST + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (CONTENT_TYPE.encode(), len(body))
    with connected(door.port) as first:
        first.sendall(head + body[:20])
        answer = _until_refused(door)
        assert int(answer.headers["Retry-After"]) > 0
        first.sendall(body[20:])
        assert first.recv(65536).startswith(b"HTTP/1.1 409")
    assert door.stow(b"x").status_code == 409


def test_one_account_leaves_a_place_for_the_others(open_web_door) -> None:
    """Whoever holds uploads open cannot keep another account from storing."""
    door = open_web_door(places=2)
    body = multipart(b"x")
    head = _REQUEST + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (CONTENT_TYPE.encode(), len(body))
    with connected(door.port) as first:
        first.sendall(head + body[:20])
        _until_refused(door)
        with door.client("administrator") as other:
            answer = other.post("/dicom-web/studies", content=body, headers={"Content-Type": CONTENT_TYPE})
        assert answer.status_code == 409


def _until_refused(door):
    """The first upload is surely counted once another one is refused."""
    for _ in range(100):
        answer = door.stow(b"x")
        if answer.status_code == 503:
            return answer
    raise AssertionError("no upload was refused")


def test_a_tls_client_at_the_plain_door_is_let_go(api_door: WebDoor) -> None:
    """Bytes that are no HTTP end the connection instead of the service."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connected(api_door.port) as peer, pytest.raises(ssl.SSLError):
        context.wrap_socket(peer)
    assert api_door.browser().get("/health/live").status_code == 200
