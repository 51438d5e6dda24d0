"""Reads and writes command sets: group 0000 in Implicit VR Little Endian (PS3.7 section 6.3), bounded on every side."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from listener.scp.limits import COMMAND_ELEMENTS, COMMAND_SET

_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")

_GROUP_LENGTH = 0x0000
_AFFECTED_SOP_CLASS_UID = 0x0002
_REQUESTED_SOP_CLASS_UID = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_REQUESTED_SOP_INSTANCE_UID = 0x1001
_EVENT_TYPE_ID = 0x1002
_ACTION_TYPE_ID = 0x1008

_NO_DATA_SET = 0x0101
_DATA_SET = 0x0001
_RESPONSE = 0x8000


class CommandField(IntEnum):
    """The operations we tell apart (PS3.7 section E.1); others have their number only."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_ACTION_RQ = 0x0130
    N_CREATE_RQ = 0x0140
    C_CANCEL_RQ = 0x0FFF
    N_EVENT_REPORT_RSP = 0x8100


class MalformedCommand(Exception):
    """A command set cannot be read; whoever sent it cannot be answered either."""


@dataclass(frozen=True, slots=True)
class Command:
    """What we need of a request, or of an answer; ``message_id`` of an answer is that of its request."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str  # affected, or requested
    sop_instance_uid: str  # affected, or requested
    type_id: int = 0  # of an action or an event
    status: int = 0  # of an answer

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.field & _RESPONSE)


def read_command(encoded: bytes | bytearray | memoryview) -> Command:
    """The command that these bytes are.

    Raises:
        MalformedCommand: they are no command set, are too long, or lack what every command has.
    """
    values = _values(encoded)
    field = _number(values, _COMMAND_FIELD)
    numbered = _MESSAGE_ID_BEING_RESPONDED_TO if field & _RESPONSE or field == CommandField.C_CANCEL_RQ else _MESSAGE_ID
    return Command(
        field,
        _number(values, numbered),
        _number(values, _COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
        _uid(values.get(_AFFECTED_SOP_CLASS_UID) or values.get(_REQUESTED_SOP_CLASS_UID) or b""),
        _uid(values.get(_AFFECTED_SOP_INSTANCE_UID) or values.get(_REQUESTED_SOP_INSTANCE_UID) or b""),
        next((_number(values, each) for each in (_ACTION_TYPE_ID, _EVENT_TYPE_ID) if each in values), 0),
        _number(values, _STATUS) if field & _RESPONSE else 0,
    )


def response(
    field: int, message_id: int, status: int, sop_class_uid: str, sop_instance_uid: str = "", comment: str = ""
) -> bytes:
    """The answer without a data set to a request with this command field (PS3.7 tables 9.3-2 and 9.3-13).

    UIDs and comment may be left empty; they are then absent.
    """
    elements = b"".join(
        (
            _text(_AFFECTED_SOP_CLASS_UID, sop_class_uid, b"\x00"),
            _us(_COMMAND_FIELD, field | _RESPONSE),
            _us(_MESSAGE_ID_BEING_RESPONDED_TO, message_id),
            _us(_COMMAND_DATA_SET_TYPE, _NO_DATA_SET),
            _us(_STATUS, status),
            _text(_ERROR_COMMENT, comment, b" "),
            _text(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid, b"\x00"),
        )
    )
    return _with_length(elements)


def event_report(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int) -> bytes:
    """An N-EVENT-REPORT request with a data set (PS3.7 table 10.3-1)."""
    return _with_length(
        b"".join(
            (
                _text(_AFFECTED_SOP_CLASS_UID, sop_class_uid, b"\x00"),
                _us(_COMMAND_FIELD, CommandField.N_EVENT_REPORT_RQ),
                _us(_MESSAGE_ID, message_id),
                _us(_COMMAND_DATA_SET_TYPE, _DATA_SET),
                _text(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid, b"\x00"),
                _us(_EVENT_TYPE_ID, event_type_id),
            )
        )
    )


def _with_length(elements: bytes) -> bytes:
    return _ELEMENT.pack(0, _GROUP_LENGTH, 4) + len(elements).to_bytes(4, "little") + elements


def _values(encoded: bytes | bytearray | memoryview) -> dict[int, bytes]:
    size = len(encoded)
    if size > COMMAND_SET:
        raise MalformedCommand("A command set was longer than allowed.")
    values: dict[int, bytes] = {}
    offset = 0
    while offset < size:
        if size - offset < _ELEMENT.size:
            raise MalformedCommand("A command set ended in the middle of an element.")
        group, number, length = _ELEMENT.unpack_from(encoded, offset)
        offset += _ELEMENT.size
        if group or number in values or length > size - offset or len(values) == COMMAND_ELEMENTS:
            raise MalformedCommand("A command set held what is no element of one, twice the same, or too many.")
        values[number] = bytes(encoded[offset : offset + length])
        offset += length
    return values


def _number(values: dict[int, bytes], element: int) -> int:
    value = values.get(element, b"")
    if len(value) != _US.size:
        raise MalformedCommand(f"A command set lacked element (0000,{element:04X}).")
    number: int = _US.unpack(value)[0]
    return number


def _uid(value: bytes) -> str:
    return value.rstrip(b"\x00 ").decode("ascii", errors="replace")


def _us(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _US.size) + _US.pack(value)


def _text(element: int, text: str, padding: bytes) -> bytes:
    if not text:
        return b""
    value = text.encode("ascii", errors="replace")
    value += padding * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value
