"""Requests that other servers fell for (threats T6, T7, T10, T18 to T21): each is answered, and nothing happens."""

import io
import socket
import threading
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from listener.web.intake import SET_ASIDE_LIMIT
from tests.integration.dicomweb.conftest import CONTENT_TYPE, WebDoor, file_bytes, multipart
from tests.integration.dicomweb.test_rendered_pictures import read
from tests.integration.dicomweb.test_retrieving_over_the_web import path_of
from tests.integration.dicomweb.test_rude_http import _REQUEST, connected, rest_of
from tests.integration.dicomweb.test_storing_over_the_web import STUDY, UID, ct_file
from tests.peers.raw_sender import kept_digests, tree
from tests.peers.web_door import PASSWORD
from tests.peers.web_door import WebDoor as WholeDoor

_BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY b "&x;&x;">]><a>&b;</a>"""


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine that nobody may ask, and who did."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def note() -> None:
            try:
                while True:
                    connection, address = listening.accept()
                    asked.append(str(address))
                    connection.close()
            except OSError:
                return

        thread = threading.Thread(target=note)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def archive(*names: str) -> bytes:
    """A ZIP file with these names in it, and much more inside than it has bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, bytes(10_000_000))
    return buffer.getvalue()


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "identity, deflate", "br", "GZIP", "x"])
@pytest.mark.parametrize("path", ["/dicom-web/studies", "/api/v1/analyze"])
def test_no_compressed_body_is_taken(api_door: WholeDoor, encoding: str, path: str) -> None:
    """415, whatever it is called and however often it was compressed; nothing is unpacked (T6)."""
    answer = api_door.browser().post(
        path,
        content=b"\x1f\x8b",
        headers={"Content-Type": CONTENT_TYPE, "Content-Encoding": encoding},
        auth=("operator", PASSWORD),
    )

    assert answer.status_code == 415


def test_an_archive_is_never_opened(api_door: WholeDoor) -> None:
    """As a body, a part or a form's file it is another format; called DICOM it is set aside as it is (T7)."""
    content = archive("../../escaped", "/escaped", "a" * 200)
    client, auth = api_door.browser(), ("operator", PASSWORD)
    before = tree(api_door.data_dir.parent)

    body = client.post("/dicom-web/studies", content=content, headers={"Content-Type": "application/zip"}, auth=auth)
    for part_type, status in (("application/zip", 415), ("application/dicom", 409)):
        part = client.post(
            "/dicom-web/studies",
            content=multipart(content, part_type=part_type),
            headers={"Content-Type": CONTENT_TYPE},
            auth=auth,
        )
        assert part.status_code == status
    form = client.post("/api/v1/analyze", files=[("files", ("../../x.zip", content, "application/zip"))], auth=auth)

    assert (body.status_code, form.status_code) == (415, 415)
    assert {path for path in tree(api_door.data_dir.parent) - before if not path.startswith("data/")} == set()


_NAMES = [
    "../../x",
    "/etc/passwd",
    "..\\..\\x",
    "a" * 4000,
    "x\x00y",
    "%2e%2e%2fx",
    "",
    '"; rm -rf /; "',
    "CON",
    "\u202egpj.exe",
]


@pytest.mark.parametrize("name", _NAMES)
def test_a_name_of_a_file_means_nothing(api_door: WholeDoor, name: str) -> None:
    """What a form or a part calls its file is neither a path nor kept anywhere (T10)."""
    before = tree(api_door.data_dir.parent)
    files = [("files", (name, file_bytes("CT_small.dcm"), "application/dicom"))]

    answer = api_door.browser().post("/api/v1/analyze", files=files, auth=("operator", PASSWORD))

    assert answer.status_code == 202, answer.text
    grown = {path for path in tree(api_door.data_dir.parent) - before if not path.startswith("data/")}
    assert grown == set()
    assert not any("passwd" in path or "gpj" in path or "CON" in path for path in tree(api_door.data_dir))


@pytest.mark.parametrize("kind", ["application/dicom+xml", "application/dicom+json", "text/xml"])
def test_nothing_is_fetched_for_anybody(open_web_door, canary: tuple[str, list[str]], kind: str) -> None:
    """XML with entities and JSON with references are other media types, as body and as part (T18, T19)."""
    door, (address, asked) = open_web_door(), canary
    json = b'[{"00080018":{"vr":"UI","Value":["1.2"]},"7FE00010":{"vr":"OW","BulkDataURI":"%s"}}]' % address.encode()
    content = _BOMB.replace(b"file:///etc/passwd", address.encode()) + json
    related = f'multipart/related; type="{kind}"; boundary=a-boundary'

    with door.client() as client:
        for headers, body in (
            ({"Content-Type": kind}, content),
            ({"Content-Type": related}, multipart(content, part_type=kind)),
            ({"Content-Type": CONTENT_TYPE}, multipart(content, part_type=kind)),
            ({"Content-Type": CONTENT_TYPE, "Content-Location": address}, multipart(content, part_type=kind)),
        ):
            assert client.post("/dicom-web/studies", content=body, headers=headers).status_code == 415

    assert asked == []
    assert kept_digests(door.folder.root) == {}


def test_a_million_parts_end_early(open_web_door) -> None:
    """Of parts without end only as many are looked at as may be refused; the others are not read (T20)."""
    door, sent = open_web_door(), 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 100
            yield b"--a-boundary\r\nContent-Type: application/dicom\r\n\r\n\r\n" * 100

    with door.client() as client:
        try:
            answer = client.post("/dicom-web/studies", content=parts(), headers={"Content-Type": CONTENT_TYPE})
        except (httpx.WriteError, httpx.ReadError):  # closed while it still sent
            answer = None

    assert answer is None or answer.status_code == 400
    assert sent < 1_000_000
    door.importer.import_pending()
    assert door.rows("SELECT count(*) FROM quarantined_object") == [(SET_ASIDE_LIMIT,)]


@pytest.mark.parametrize(
    "headers",
    [
        b'Content-Type: multipart/related; type="application/dicom"; boundary=' + b"b" * 2**20,
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999999999",
        b"Content-Length: 0x10",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b'Content-Type: multipart/related; type="application/dicom"\r\nContent-Length: 0',
    ],
)
def test_a_head_that_lies_is_refused(open_web_door, headers: bytes) -> None:
    """A boundary of a mebibyte, lengths that contradict or cannot be, none: a refusal, and the door goes on (T20)."""
    door = open_web_door()
    with connected(door.port) as peer:
        try:
            peer.sendall(_REQUEST + headers + b"\r\n\r\n")
            answer = rest_of(peer) if b"Length: 0" not in headers else peer.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""  # it was closed while the head was still sent

    assert answer[9:12] in (b"400", b"413", b"415", b"431", b"501", b"")
    assert door.stow(ct_file()).status_code == 200


def test_a_chunked_body_without_end_is_ended(open_web_door) -> None:
    """A chunk that claims 2^63 bytes is as much as comes of it; the preamble limit ends it (T20)."""
    door = open_web_door()
    with connected(door.port) as peer:
        peer.sendall(
            _REQUEST
            + b"Content-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % CONTENT_TYPE.encode()
            + b"7fffffffffffffff\r\n"
            + b"-" * 20_000
        )
        assert peer.recv(65536).startswith(b"HTTP/1.1 400")
    assert door.stow(ct_file()).status_code == 200


@pytest.mark.parametrize("value", ["bytes=" + ",".join(["0-0"] * 4000), "bytes=0-,0-,-1", "bytes=" + "-" * 5000, "x=1"])
def test_ranges_are_not_served(open_web_door, value: str) -> None:
    """A Range is ignored and the whole is answered, once and in full, whatever the header asks (T20)."""
    door = open_web_door()
    assert door.stow(file_bytes("CT_small.dcm")).status_code == 200
    address = path_of(read("CT_small.dcm"))

    with door.client("viewer") as client:
        for below, accept in (("", "application/dicom"), ("/frames/1", "*/*"), ("/rendered", "image/png")):
            plain = client.get(address + below, headers={"Accept": accept})
            ranged = client.get(address + below, headers={"Accept": accept, "Range": value})
            assert (ranged.status_code, len(ranged.content)) == (plain.status_code, len(plain.content)), below
            assert "accept-ranges" not in ranged.headers


@pytest.mark.parametrize("magic", [b"MZ", b"\x7fELF", b"PK\x03\x04", b"<html><script>", b"#!/bin/sh\n", b"%PDF-1.7"])
def test_a_file_that_is_a_program_too_comes_back_as_none(open_web_door, magic: bytes) -> None:
    """The preamble is zeros in what we keep and give, and its content changes no identity (T21)."""
    door: WebDoor = open_web_door()
    polyglot = magic + ct_file()[len(magic) :]

    assert door.stow(polyglot).status_code == 200
    assert door.stow(ct_file()).status_code == 200, "the same instance again"
    with door.client("viewer") as client:
        given = client.get(
            f"/dicom-web/studies/{STUDY}/series/{STUDY}.1/instances/{UID}", headers={"Accept": "application/dicom"}
        )

    assert given.content[:132] == bytes(128) + b"DICM"
    assert magic not in given.content
