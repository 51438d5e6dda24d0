"""Any bytes on a connection, in whatever pieces, are an association that comes to its end."""

import logging
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

from listener.scp.commitment import SOP_CLASS, SOP_INSTANCE
from listener.scp.conversation import Conversation, House
from listener.scp.negotiation import Negotiator
from listener.scp.presentation_contexts import Repertoire
from listener.scp.store import StoreHandler
from listener.scp.transport import PeerGone
from listener.settings import ListenerSettings
from storage.domain.association import Association
from storage.domain.commitment import CommitmentRequest
from storage.domain.study import InstanceHeader, KeepOutcome, QuarantineReason
from tests.fuzz.command import SEEDS as COMMANDS
from tests.peers.raw_sender import CT, ct_data_set, element
from tests.peers.upper_layer import command_set, ui, us

_LARGEST = 4096  # bytes of a data set
_MOST_SENT = 64 * 1024  # bytes of answers to one input


class _Wire:
    """Implements Transport: gives what it was given, piece by piece, and then the peer is gone."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content = content
        self._size = size
        self._at = 0
        self.subject = ""  # without TLS
        self.sent = 0
        self.closed = False

    def receive_into(self, room: memoryview) -> int:
        piece = self._content[self._at : self._at + min(self._size, len(room))]
        if not piece:
            raise PeerGone
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        assert self.sent <= _MOST_SENT, "answers without end"

    def close(self) -> None:
        self.closed = True


class _Forgotten:
    """Implements IncomingInstance, and holds it to its contract."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes | memoryview] = []
        self.ended = False

    def add(self, piece: bytes | memoryview) -> None:
        assert not self.ended, "a piece after the end"
        self._pieces.append(piece)
        self.size += len(piece)
        assert self.size <= _LARGEST, "more than allowed"

    def spill(self) -> None:
        self._pieces = [bytes(piece) for piece in self._pieces]

    def head(self, limit: int) -> bytes:
        return b"".join(self._pieces)[:limit]

    def discard(self) -> None:
        assert not self.ended, "ended twice"
        self.ended = True


class _NoSpool:
    """Implements InstanceSpool and keeps nothing."""

    def receive(self, part10_prefix: bytes) -> _Forgotten:
        return _Forgotten()

    def keep(
        self, incoming: Any, header: InstanceHeader, association: Association, received_at: datetime
    ) -> KeepOutcome:
        incoming.discard()
        return KeepOutcome.STORED

    def quarantine(
        self,
        incoming: Any,
        reason: QuarantineReason,
        sop_uid: str,
        study_uid: str,
        association: Any,
        received_at: datetime,
    ) -> None:
        incoming.discard()

    def record_association(self, association: Association) -> None:
        """Nobody asks for it."""


class _NoRequests:
    """Implements CommitmentRequests and keeps nothing."""

    def keep(self, request: CommitmentRequest) -> str:
        return "id"

    def take(self, request_id: str) -> None:
        return None

    def give_back(self, request_id: str) -> None:
        """Nothing was taken."""

    forget = give_back


class _Swallowed(logging.Handler):
    """Storing catches what it does not expect, so that an association goes on; here that is an escape."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            raise AssertionError(record.getMessage())


def _silence() -> None:
    for name in ("listener.scp.operations", "listener.scp.store", "pynetdicom", "pydicom"):
        logging.getLogger(name).propagate = False
    logging.getLogger("listener.scp.operations").addHandler(_Swallowed())


_silence()
_HOUSE = House(
    Negotiator(Repertoire(ListenerSettings(), commitment=True).offered),
    StoreHandler(_NoSpool()),
    lambda _: None,
    lambda _: _LARGEST,
    _NoRequests(),
)


def check(data: bytes) -> None:
    """Serve it as a connection; its first byte gives the size of the pieces."""
    wire = _Wire(data[1:], max(data[:1] + b"\x01") ** 2)
    conversation = Conversation(_HOUSE, wire, "192.0.2.1")
    memory = conversation._upper.reader._memory
    conversation.run()
    conversation.note()
    assert wire.closed, "the connection stays open"
    assert conversation._upper.reader._memory is memory, "the buffer grew"
    assert memory.closed, "the buffer was not given back"


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(content)) + content


def _data(content: bytes, control: int, context: int = 1) -> bytes:
    return _pdu(4, struct.pack(">LBB", len(content) + 2, context, control) + content)


_REQUEST = _pdu(
    1,
    struct.pack(">Hxx16s16s32x", 1, b"OVERREAD", b"PEER")
    + _item(0x10, b"1.2.840.10008.3.1.1.1")
    + _item(0x20, b"\x01\x00\x00\x00" + _item(0x30, CT.encode()) + _item(0x40, b"1.2.840.10008.1.2.1"))
    + _item(0x20, b"\x03\x00\x00\x00" + _item(0x30, b"1.2.840.10008.1.1") + _item(0x40, b"1.2.840.10008.1.2"))
    + _item(0x20, b"\x05\x00\x00\x00" + _item(0x30, SOP_CLASS.encode()) + _item(0x40, b"1.2.840.10008.1.2.1"))
    + _item(
        0x50,
        _item(0x51, struct.pack(">L", 16384))
        + _item(0x52, b"1.2.3.4")
        + _item(0x53, struct.pack(">HH", 4, 1))
        + _item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\x01\x00")
        + _item(0x55, b"FUZZ"),
    ),
)
_RELEASE, _ABORT = _pdu(5, bytes(4)), _pdu(7, b"\x00\x00\x00\x00")
_SET: Callable[[bytes], bytes] = lambda content: _data(content[:50], 0) + _data(content[50:], 2)  # noqa: E731

_ASK = command_set(
    *(ui(0x0003, SOP_CLASS), us(0x0100, 0x0130), us(0x0110, 1), us(0x0800, 1)),
    *(ui(0x1001, SOP_INSTANCE), us(0x1008, 1)),
)
_QUESTION = (
    element(0x0008, 0x1195, b"UI", b"1.2.9")
    + struct.pack("<HH2sHLHHL", 8, 0x1199, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    + element(0x0008, 0x1150, b"UI", CT.encode())
    + element(0x0008, 0x1155, b"UI", b"1.2.3")
    + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
)

SEEDS = (
    b"\xff" + _REQUEST + _data(_ASK, 3, 5) + _data(_QUESTION, 2, 5) + _RELEASE,
    b"\xff" + _REQUEST + _data(COMMANDS[0], 3) + _SET(ct_data_set("1.2.3.4")) + _RELEASE,
    b"\x05" + _REQUEST + _data(COMMANDS[0][:20], 1) + _data(COMMANDS[0][20:], 3) + _data(b"x" * 100, 2) + _RELEASE,
    b"\xff" + _REQUEST + _data(COMMANDS[2].replace(b"\x30\x80", b"\x30\x00"), 3, 3) + _ABORT,
    b"\xff" + _REQUEST + _REQUEST,
    b"\xff" + _pdu(1, b"short"),
    b"\xff" + b"\x01\x00\xff\xff\xff\xff" + bytes(100),
    b"\xff" + _REQUEST + b"\x04\x00\x7f\xff\xff\xff",
    b"\xff" + _RELEASE,
)
