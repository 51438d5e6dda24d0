"""A modality that writes its bytes itself and notes each answer: a Storage SCU without a toolkit (PS3.8 section 9.3).

It shares no code with the listener, proposes one presentation context, and is cheap enough to be measured with.
"""

import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from overread.torture.instances import EXPLICIT_VR_LITTLE_ENDIAN, Instance

VERIFICATION = "1.2.840.10008.1.1"
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_IMPLEMENTATION = "2.25.1"
_CONTEXT_ID = 1
_PDU_LIMIT = 128 * 1024
_VECTORS = 512  # of one sendmsg; the kernel takes 1,024
_C_STORE_RQ, _C_ECHO_RQ = 0x0001, 0x0030
_NO_DATA_SET, _DATA_SET = 0x0101, 0x0001
_COMMAND_LAST, _DATA, _DATA_LAST = 3, 0, 2
_ASSOCIATE_AC, _P_DATA, _RELEASE_RP = 2, 4, 6

Buffer = bytes | memoryview


class PeerRefused(OSError):
    """The peer ended the association, refused it or answered with something else."""


class Sender:
    """One association; a context manager that releases it at the end of the block unless it is broken.

    Raises:
        OSError: there was no answer, or not the expected one.
    """

    def __init__(
        self,
        port: int,
        sop_class_uid: str = VERIFICATION,
        *,
        host: str = "127.0.0.1",
        calling: str = "TORTURE",
        called: str = "OVERREAD",
        seconds: float = 60.0,
        source: str = "",
    ) -> None:
        self._sop_class_uid = sop_class_uid
        self._message_id = 0
        self._waiting = bytearray()
        self._socket = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0))
        self._socket.settimeout(None)  # one call fewer per piece than a timeout of Python's; the kernel keeps this one:
        whole, part = divmod(seconds, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(whole), int(part * 1e6)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._pdu_size = self._associate(calling, called)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "Sender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.close()

    def release(self) -> None:
        """End the association in order."""
        try:
            self._socket.sendall(struct.pack(">BxLL", 5, 4, 0))
            if self._read_pdu()[0] != _RELEASE_RP:
                raise PeerRefused("The release was not answered.")
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()

    def echo(self) -> int:
        """Send a C-ECHO and return the status."""
        self._send([self._command_pdu(_C_ECHO_RQ, "", _NO_DATA_SET)])
        return self._status()

    def store(self, instance: Instance) -> int:
        """Send one instance and return the status."""
        command = self._command_pdu(_C_STORE_RQ, instance.sop_instance_uid, _DATA_SET)
        left, room = instance.size, 0
        out: list[Buffer] = [command]
        for piece in instance.pieces():
            view = memoryview(piece)
            while view:
                if room == 0:
                    room = min(left, self._pdu_size - 6)
                    control = _DATA_LAST if room == left else _DATA
                    out.append(struct.pack(">BxLLBB", _P_DATA, room + 6, room + 2, _CONTEXT_ID, control))
                out.append(view[:room])
                taken = min(len(view), room)
                view, room, left = view[taken:], room - taken, left - taken
                if len(out) >= _VECTORS:
                    self._send(out)
                    out = []
        self._send(out)
        return self._status()

    def _send(self, buffers: Sequence[Buffer]) -> None:
        total = sum(len(buffer) for buffer in buffers)
        sent = self._socket.sendmsg(buffers)
        if sent == total:
            return
        for buffer in buffers:
            if sent >= len(buffer):
                sent -= len(buffer)
            else:
                self._socket.sendall(memoryview(buffer)[sent:])
                sent = 0

    def _command_pdu(self, field: int, sop_instance_uid: str, data_set_type: int) -> bytes:
        self._message_id = self._message_id % 0xFFFF + 1
        elements = [
            _implicit(0x0002, _uid(self._sop_class_uid)),
            _implicit(0x0100, struct.pack("<H", field)),
            _implicit(0x0110, struct.pack("<H", self._message_id)),
        ]
        if data_set_type != _NO_DATA_SET:
            elements.append(_implicit(0x0700, struct.pack("<H", 2)))
        elements.append(_implicit(0x0800, struct.pack("<H", data_set_type)))
        if sop_instance_uid:
            elements.append(_implicit(0x1000, _uid(sop_instance_uid)))
        body = b"".join(elements)
        body = _implicit(0x0000, struct.pack("<L", len(body))) + body
        return struct.pack(">BxLLBB", _P_DATA, len(body) + 6, len(body) + 2, _CONTEXT_ID, _COMMAND_LAST) + body

    def _status(self) -> int:
        kind, body = self._read_pdu()
        if kind != _P_DATA:
            raise PeerRefused(f"The peer answered with PDU type {kind}.")
        answered, status = None, None
        position = 6
        while position + 8 <= len(body):
            element, length = struct.unpack_from("<2xHL", body, position)
            if element == 0x0120:
                (answered,) = struct.unpack_from("<H", body, position + 8)
            elif element == 0x0900:
                (status,) = struct.unpack_from("<H", body, position + 8)
            position += 8 + length
        if status is None or answered != self._message_id:
            raise PeerRefused("The answer is not one to the message that was sent.")
        return int(status)

    def _associate(self, calling: str, called: str) -> int:
        """Open the association and return the largest PDU that the peer takes and we send."""
        user = _item(0x51, struct.pack(">L", _PDU_LIMIT)) + _item(0x52, _IMPLEMENTATION.encode())
        context = struct.pack(">B3x", _CONTEXT_ID) + _item(0x30, self._sop_class_uid.encode())
        items = (
            _item(0x10, _APPLICATION_CONTEXT.encode())
            + _item(0x20, context + _item(0x40, EXPLICIT_VR_LITTLE_ENDIAN.encode()))
            + _item(0x50, user)
        )
        body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode()) + items
        self._socket.sendall(struct.pack(">BxL", 1, len(body)) + body)
        kind, answer = self._read_pdu()
        if kind != _ASSOCIATE_AC:
            raise PeerRefused(f"The association was refused: PDU type {kind}, {bytes(answer[:4]).hex()}.")
        size, accepted = _PDU_LIMIT, False
        for number, value in _items(answer[68:]):
            if number == 0x21:
                accepted = value[2] == 0
            elif number == 0x50:
                for inner, content in _items(value):
                    if inner == 0x51:
                        size = min(struct.unpack(">L", content)[0] or _PDU_LIMIT, _PDU_LIMIT)
        if not accepted:
            raise PeerRefused("The presentation context was refused.")
        return size

    def _read_pdu(self) -> tuple[int, bytes]:
        header = self._read(6)
        kind, length = struct.unpack(">BxL", header)
        return kind, self._read(length)

    def _read(self, count: int) -> bytes:
        while len(self._waiting) < count:
            part = self._socket.recv(65536)
            if not part:
                raise PeerRefused("The peer closed the connection.")
            self._waiting += part
        taken = bytes(self._waiting[:count])
        del self._waiting[:count]
        return taken


def _implicit(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0x0000, number, len(value)) + value


def _uid(uid: str) -> bytes:
    return uid.encode() + b"\x00" * (len(uid) % 2)


def _item(number: int, value: bytes) -> bytes:
    return struct.pack(">BxH", number, len(value)) + value


def _items(content: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position + 4 <= len(content):
        number, length = struct.unpack_from(">BxH", content, position)
        found.append((number, content[position + 4 : position + 4 + length]))
        position += 4 + length
    return found
