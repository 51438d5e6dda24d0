"""A peer that speaks the upper layer byte by byte, also as no honest one would."""

import socket
import struct

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = ((CT, EXPLICIT), (VERIFICATION, EXPLICIT))
RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def associate_rq(
    contexts=CONTEXTS, called: str = "OVERREAD", calling: str = "PEER", maximum: int = 16384, further=()
) -> bytes:
    """An A-ASSOCIATE-RQ as the toolkit encodes it; contexts are numbered 1, 3, 5 …"""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    built = [build_context(abstract, transfer) for abstract, transfer in contexts]
    for number, context in enumerate(built):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = built
    length = MaximumLengthNotification()
    length.maximum_length_received = maximum
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"
    primitive.user_information = [length, implementation, *further]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def us(element: int, value: int) -> bytes:
    """An element of VR US in a command set."""
    return struct.pack("<HHLH", 0, element, 2, value)


def ui(element: int, value: str) -> bytes:
    """An element of VR UI in a command set."""
    encoded = value.encode() + b"\x00" * (len(value) % 2)
    return struct.pack("<HHL", 0, element, len(encoded)) + encoded


def command_set(*elements: bytes) -> bytes:
    """Elements with the group length before them."""
    content = b"".join(elements)
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def store_command(sop_instance_uid: str, message_id: int = 1, sop_class_uid: str = CT) -> bytes:
    """The command set of a C-STORE request."""
    return command_set(
        ui(0x0002, sop_class_uid),
        us(0x0100, 0x0001),
        us(0x0110, message_id),
        us(0x0700, 0),
        us(0x0800, 0x0001),
        ui(0x1000, sop_instance_uid),
    )


def echo_command(message_id: int = 1) -> bytes:
    """The command set of a C-ECHO request."""
    return command_set(ui(0x0002, VERIFICATION), us(0x0100, 0x0030), us(0x0110, message_id), us(0x0800, 0x0101))


def pdv(fragment: bytes, context_id: int = 1, *, command: bool = False, last: bool = True) -> bytes:
    """One presentation data value item."""
    return struct.pack(">LBB", len(fragment) + 2, context_id, command | last << 1) + fragment


def data_pdu_of(*items: bytes) -> bytes:
    """A P-DATA-TF of these items."""
    content = b"".join(items)
    return struct.pack(">BxL", 0x04, len(content)) + content


def data_pdu(fragment: bytes, context_id: int = 1, *, command: bool = False, last: bool = True) -> bytes:
    """A P-DATA-TF of one fragment."""
    return data_pdu_of(pdv(fragment, context_id, command=command, last=last))


class Wire:
    """A connection to a listener."""

    def __init__(self, port: int, address: str = "127.0.0.1", source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((address, port), timeout=20, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send everything."""
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Type and content of the next PDU; type 0 when the connection was closed."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, header
        return header[0], self._exactly(struct.unpack(">L", header[2:])[0])

    def associate(self, **request) -> bytes:
        """Associate; the content of the answer, which must be an acceptance."""
        self.send(associate_rq(**request))
        kind, content = self.receive()
        assert kind == 0x02
        return content

    def answer(self) -> dict[int, bytes]:
        """The elements of the next answer, by number; it must be one command in one PDU."""
        kind, content = self.receive()
        assert kind == 0x04, (kind, content)
        return elements(content[6:])

    def status(self) -> int:
        """The status of the next answer."""
        return int.from_bytes(self.answer()[0x0900], "little")

    def release(self) -> int:
        """Ask for the release; the type of the answer."""
        self.send(RELEASE_RQ)
        return self.receive()[0]

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            try:
                part = self.socket.recv(size - len(received))
            except ConnectionResetError:
                part = b""
            if not part:
                break
            received += part
        return received


def elements(encoded: bytes) -> dict[int, bytes]:
    """The elements of a command set, by number."""
    found, offset = {}, 0
    while offset < len(encoded):
        _, number, length = struct.unpack_from("<HHL", encoded, offset)
        found[number] = encoded[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return found
