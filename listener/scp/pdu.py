"""The protocol data units that need no toolkit: short ones of fixed form, and P-DATA-TF (PS3.8 section 9.3)."""

import struct
from collections.abc import Iterator
from enum import IntEnum

HEADER = struct.Struct(">BxL")  # type, length of what follows
PDV_HEADER = struct.Struct(">LBB")  # length of what follows, presentation context, message control header

LAST_FRAGMENT = 0b10  # in the message control header (PS3.8 section E.2)
COMMAND_FRAGMENT = 0b01

_REJECT = struct.Struct(">BxLxBBB")
_ABORT = struct.Struct(">BxLxxBB")
RELEASE_RP = HEADER.pack(0x06, 4) + bytes(4)


class PduType(IntEnum):
    """The first byte of a PDU."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortReason(IntEnum):
    """Why the service provider aborts (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
    return _REJECT.pack(PduType.ASSOCIATE_RJ, 4, result, source, reason)


def abort_by_user() -> bytes:
    """A-ABORT that the DICOM application asked for; it has no reason (PS3.8 table 9-26)."""
    return _ABORT.pack(PduType.ABORT, 4, 0, 0)


def abort_by_provider(reason: AbortReason) -> bytes:
    """A-ABORT of the upper layer itself."""
    return _ABORT.pack(PduType.ABORT, 4, 2, reason)


def command_pdus(command_set: bytes, context_id: int, peer_maximum: int) -> bytes:
    """The P-DATA-TF PDUs of one command; each at most as long as the peer takes, 0 for any (PS3.8 section D.1)."""
    return b"".join(_fragments(command_set, context_id, COMMAND_FRAGMENT, peer_maximum))


def data_set_pdus(data_set: bytes, context_id: int, peer_maximum: int) -> bytes:
    """The same of the data set behind it."""
    return b"".join(_fragments(data_set, context_id, 0, peer_maximum))


def _fragments(content: bytes, context_id: int, kind: int, peer_maximum: int) -> Iterator[bytes]:
    room = max(peer_maximum - PDV_HEADER.size, 1) if peer_maximum else len(content)
    for start in range(0, len(content), room):
        last = LAST_FRAGMENT if start + room >= len(content) else 0
        yield _data_pdu(content[start : start + room], context_id, kind | last)


def _data_pdu(fragment: bytes, context_id: int, control: int) -> bytes:
    return (
        HEADER.pack(PduType.DATA_TF, len(fragment) + PDV_HEADER.size)
        + PDV_HEADER.pack(len(fragment) + 2, context_id, control)
        + fragment
    )
