"""What an association request proposes and what we answer (PS3.8 sections 9.3.2 and 9.3.3, PS3.7 annex D.3).

pynetdicom decodes and encodes the items. How many there are and how long is counted before it sees any of them.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom.pdu_items import (
    ApplicationContextItem,
    AsynchronousOperationsWindowSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    PresentationContextItemRQ,
    SCP_SCU_RoleSelectionSubItem,
)
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from listener.scp.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.scp.limits import (
    MAXIMUM_PDU,
    OUTSTANDING_OPERATIONS,
    PRESENTATION_CONTEXTS,
    TRANSFER_SYNTAXES_PER_CONTEXT,
    USER_ITEMS,
)
from listener.scp.pdu import HEADER, AbortReason, PduType
from listener.scp.pdu_reader import InvalidPdu
from listener.scp.presentation_contexts import STORAGE_COMMITMENT

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

_FIXED = struct.Struct(">H2x16s16s32x")  # of an association request: protocol version, called and calling AE title
_ITEM = struct.Struct(">BxH")
_VERSION_1 = 0b1

_APPLICATION_CONTEXT_ITEM = 0x10
_PRESENTATION_CONTEXT_ITEM = 0x20
_USER_INFORMATION_ITEM = 0x50
_MAXIMUM_LENGTH_ITEM = 0x51
_ASYNCHRONOUS_OPERATIONS_ITEM = 0x53
_ROLE_SELECTION_ITEM = 0x54

_REMEMBERED = 64  # negotiations; the devices of a hospital ask the same again and again
_REMEMBERED_SIZE = 16 * 1024  # bytes of a request worth remembering
_UID_LIMIT = 64  # bytes (PS3.5 section 6.2, UI)

_Roles = dict[UID, tuple[bool | None, bool | None]]


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ, its items still as they came."""

    protocol_version: int
    called_ae_title: str
    calling_ae_title: str
    echoed: bytes  # the fields that the answer repeats
    items: bytes

    @property
    def speaks_our_version(self) -> bool:
        """Whether the peer knows version 1 of the protocol, the only one (PS3.8 table 9-11)."""
        return bool(self.protocol_version & _VERSION_1)


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that may be used."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides may do."""

    application_context: str
    contexts: dict[int, AcceptedContext]
    peer_maximum: int  # bytes of a PDU to the peer; 0 is any
    answer: bytes  # the items of our A-ASSOCIATE-AC


def read_request(content: memoryview) -> AssociateRequest:
    """Read the fixed part of an A-ASSOCIATE-RQ. Raises InvalidPdu."""
    if len(content) < _FIXED.size:
        raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "An association request was too short.")
    version, called, calling = _FIXED.unpack_from(content)
    return AssociateRequest(
        version, _title(called), _title(calling), bytes(content[4 : _FIXED.size]), bytes(content[_FIXED.size :])
    )


def associate_ac(request: AssociateRequest, negotiated: Negotiated) -> bytes:
    """The A-ASSOCIATE-AC that accepts a request."""
    content = b"\x00\x01\x00\x00" + request.echoed + negotiated.answer
    return HEADER.pack(PduType.ASSOCIATE_AC, len(content)) + content


class Negotiator:
    """Answers proposals; equal ones are answered from memory.

    ``offered`` gives the transfer syntaxes we take of those proposed for an abstract syntax, in our order, or ``None``
    when we do not serve the abstract syntax.
    """

    def __init__(self, offered: Callable[[str, list[str]], list[str] | None]) -> None:
        self._offered = offered
        self._remembered: dict[bytes, Negotiated] = {}

    def negotiate(self, items: bytes) -> Negotiated:
        """What comes of the items of a request. Raises InvalidPdu."""
        known = self._remembered.get(items)
        if known is None:
            known = self._negotiate(items)
            if len(items) <= _REMEMBERED_SIZE:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered.clear()
                self._remembered[items] = known
        return known

    def _negotiate(self, items: bytes) -> Negotiated:
        try:
            return self._answer(items)
        except InvalidPdu:
            raise
        except Exception:  # noqa: BLE001  the toolkit fails in many ways on what is no item
            raise InvalidPdu(
                AbortReason.INVALID_PDU_PARAMETER_VALUE, "An association request held an invalid item."
            ) from None

    def _answer(self, items: bytes) -> Negotiated:
        application_context, proposed, user_items = _counted(items)
        name = ApplicationContextItem()
        name.decode(application_context)
        roles = dict(map(_role, (item for kind, item in user_items if kind == _ROLE_SELECTION_ITEM)))
        results: list[PresentationContext] = []
        answered_roles: dict[UID | None, SCP_SCU_RoleSelectionNegotiation] = {}
        for encoded in proposed:
            item = PresentationContextItemRQ()
            item.decode(encoded)
            result, role = self._context(item.to_primitive(), roles)
            results.append(result)
            answered_roles |= {each.sop_class_uid: each for each in role}
        accepted = {
            context.context_id: AcceptedContext(str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in results
            if context.result == 0 and context.context_id
        }
        by_kind = dict(reversed(user_items))  # the first of each kind counts
        answer = b"".join(
            (
                application_context,
                *map(_encoded_context, results),
                _user_information(by_kind.get(_ASYNCHRONOUS_OPERATIONS_ITEM), list(answered_roles.values())),
            )
        )
        return Negotiated(
            str(name.application_context_name), accepted, _maximum_length(by_kind.get(_MAXIMUM_LENGTH_ITEM)), answer
        )

    def _context(
        self, proposed: PresentationContext, roles: _Roles
    ) -> tuple[PresentationContext, list[SCP_SCU_RoleSelectionNegotiation]]:
        abstract_syntax = str(proposed.abstract_syntax)
        syntaxes = self._offered(abstract_syntax, [str(each) for each in proposed.transfer_syntax])
        supported = []
        if syntaxes is not None:
            # A known class with no known transfer syntax still gets a context, so that the right half is named as
            # unsupported.
            ours = build_context(abstract_syntax, [*(syntaxes or ["1.2.840.10008.1.2"])])
            # Of the peer: it sends and we receive; of storage commitment it may report too (PS3.4 section J.3.3).
            ours.scu_role, ours.scp_role = True, abstract_syntax == STORAGE_COMMITMENT
            supported = [ours]
        [result], answered = negotiate_as_acceptor([proposed], supported, roles)
        return result, answered


def _counted(items: bytes) -> tuple[bytes, list[bytes], list[tuple[int, bytes]]]:
    """The application context, the presentation contexts and the user information, none of them more than allowed."""
    application_context, contexts, user_items = b"", [], []
    for kind, item in _items(items, 0):
        if kind == _APPLICATION_CONTEXT_ITEM:
            application_context = item
        elif kind == _PRESENTATION_CONTEXT_ITEM:
            contexts.append(item)
            if len(contexts) > PRESENTATION_CONTEXTS or len(item) > 8 + TRANSFER_SYNTAXES_PER_CONTEXT * (
                _ITEM.size + _UID_LIMIT
            ):
                raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "A peer proposed too many contexts.")
        elif kind == _USER_INFORMATION_ITEM:
            for each in _items(item, _ITEM.size):
                user_items.append(each)
                if len(user_items) > USER_ITEMS:
                    raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "A peer gave too much user information.")
    if not application_context or not contexts:
        raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "An association request lacked a required item.")
    return application_context, contexts, user_items


def _items(encoded: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset < len(encoded):
        if len(encoded) - offset < _ITEM.size:
            raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "An item was cut off.")
        kind, length = _ITEM.unpack_from(encoded, offset)
        end = offset + _ITEM.size + length
        if end > len(encoded):
            raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "An item was longer than what it stood in.")
        yield kind, encoded[offset:end]
        offset = end


def _role(encoded: bytes) -> tuple[UID, tuple[bool | None, bool | None]]:
    item = SCP_SCU_RoleSelectionSubItem()
    item.decode(encoded)
    return UID(item.sop_class_uid or ""), (bool(item.scu_role), bool(item.scp_role))


def _maximum_length(encoded: bytes | None) -> int:
    if encoded is None:
        return 0
    item = MaximumLengthSubItem()
    item.decode(encoded)
    return int(item.maximum_length_received or 0)


def _encoded_context(context: PresentationContext) -> bytes:
    item = PresentationContextItemAC()
    item.from_primitive(context)
    return bytes(item.encode())


def _user_information(asked_window: bytes | None, roles: list[SCP_SCU_RoleSelectionNegotiation]) -> bytes:
    length = MaximumLengthNotification()
    length.maximum_length_received = MAXIMUM_PDU
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    notes = [length, implementation, version, *roles, *([] if asked_window is None else [_window(asked_window)])]
    content = b"".join(each.from_primitive().encode() for each in notes)  # type: ignore[attr-defined]
    return _ITEM.pack(_USER_INFORMATION_ITEM, len(content)) + content


def _window(encoded: bytes) -> AsynchronousOperationsWindowNegotiation:
    """The peer may begin several operations before it has an answer; we perform them one by one, and ask for one."""
    asked = AsynchronousOperationsWindowSubItem()
    asked.decode(encoded)
    window = AsynchronousOperationsWindowNegotiation()
    invoked = asked.maximum_number_operations_invoked or OUTSTANDING_OPERATIONS  # 0 is any number
    window.maximum_number_operations_invoked = min(invoked, OUTSTANDING_OPERATIONS)
    window.maximum_number_operations_performed = 1
    return window


def _title(encoded: bytes) -> str:
    return encoded.decode("ascii", errors="replace").strip(" \x00")
