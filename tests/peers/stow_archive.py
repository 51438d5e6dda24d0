"""An archive with STOW-RS that answers as a test says; how real ones answer is tried with Orthanc and our own door."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread

Answer = Callable[[socket.socket, "Request", threading.Event], None]


@dataclass
class Request:
    """What came: the first line, the header, the body."""

    line: str
    header: dict[str, str]
    body: bytes

    @property
    def files(self) -> list[bytes]:
        """The Part 10 files in a multipart body."""
        found = re.search(r"boundary=(\S+)", self.header.get("content-type", ""))
        assert found is not None
        parts = self.body.split(b"--" + found[1].encode())
        return [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts[1:-1]]

    @property
    def uids(self) -> list[str]:
        """The SOP Instance UIDs of these files."""
        return [str(dcmread(BytesIO(each)).SOPInstanceUID) for each in self.files]


@dataclass
class StowArchive:
    """Takes everything and searches for nothing, but for the requests for which ``answers`` has one, in their order."""

    port: int
    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)  # the reason, by SOP Class UID

    @property
    def url(self) -> str:
        """Its DICOMweb services."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def sent(self) -> list[list[str]]:
        """The SOP Instance UIDs in each request."""
        return [request.uids for request in self.requests]


def reply(status: int, body: bytes = b"", **header: str) -> Answer:
    """An answer that is well-formed HTTP."""

    def answer(caller: socket.socket, _: Request, __: threading.Event) -> None:
        lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in header.items()}}
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        caller.sendall(f"HTTP/1.1 {status} Because\r\n{head}\r\n".encode() + body)

    return answer


def stored(status: int = 200, warning: int | None = None, but: dict[str, int] | None = None) -> Answer:
    """All that came is said to be stored, but for what failed with a reason, by SOP Instance UID."""

    def answer(caller: socket.socket, request: Request, ended: threading.Event) -> None:
        failed = but or {}
        good = [uid for uid in request.uids if uid not in failed]
        there = [_item(uid) | ({} if warning is None else {"00081196": _number(warning)}) for uid in good]
        away = [_item(uid) | {"00081197": _number(failed[uid])} for uid in request.uids if uid in failed]
        reply(status, response(there, away))(caller, request, ended)

    return answer


def failed(status: int, reason: int) -> Answer:
    """Nothing that came is stored, each for this reason."""

    def answer(caller: socket.socket, request: Request, ended: threading.Event) -> None:
        stored(status, but=dict.fromkeys(request.uids, reason))(caller, request, ended)

    return answer


def raw(*pieces: bytes, then: Callable[[socket.socket, threading.Event], None] | None = None) -> Answer:
    """These bytes, and whatever comes then."""

    def answer(caller: socket.socket, _: Request, ended: threading.Event) -> None:
        for piece in pieces:
            caller.sendall(piece)
        if then is not None:
            then(caller, ended)

    return answer


def response(there: Sequence[dict[str, Any]], away: Sequence[dict[str, Any]] = ()) -> bytes:
    """A Store Instances Response (PS3.18 table 10.5.3-1) in DICOM JSON."""
    data_set: dict[str, Any] = {"00081199": {"vr": "SQ", "Value": list(there)}}
    if away:
        data_set["00081198"] = {"vr": "SQ", "Value": list(away)}
    return json.dumps(data_set).encode()


def _item(uid: str) -> dict[str, Any]:
    return {"00081155": {"vr": "UI", "Value": [uid]}}


def _number(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [value]}


def _usual(archive: StowArchive, request: Request) -> Answer:
    if not request.line.startswith("POST"):
        return reply(404)
    there = [dcmread(BytesIO(each)) for each in request.files]
    away = {
        str(one.SOPInstanceUID): archive.refused[one.SOPClassUID] for one in there if one.SOPClassUID in archive.refused
    }
    return stored(409 if away else 200, but=away)


@contextmanager
def opened() -> Iterator[StowArchive]:
    """One on a free port of loopback."""
    door = socket.create_server(("127.0.0.1", 0))
    archive, ended = StowArchive(door.getsockname()[1]), threading.Event()

    def accept() -> None:
        while True:
            try:
                caller, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(caller, archive, ended), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield archive
    finally:
        ended.set()
        door.close()


def _serve(caller: socket.socket, archive: StowArchive, ended: threading.Event) -> None:
    with caller, contextlib.suppress(OSError):
        while request := _read(caller):
            archive.requests.append(request)
            answer = archive.answers.pop(0) if archive.answers else _usual(archive, request)
            answer(caller, request, ended)
            if answer is not None and answer.__qualname__.startswith("raw"):
                return


def _read(caller: socket.socket) -> Request | None:
    content = b""
    while b"\r\n\r\n" not in content:
        piece = caller.recv(1 << 16)
        if not piece or piece.startswith(b"\x16\x03"):  # a handshake of TLS
            return None
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    header = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
    held = bytearray(body)
    while len(held) < int(header.get("content-length", "0")):
        held += caller.recv(1 << 16)
    return Request(first, header, bytes(held))


@pytest.fixture
def stow_archive() -> Iterator[StowArchive]:
    """One that is running."""
    with opened() as archive:
        yield archive
