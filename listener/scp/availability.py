"""Instance Availability Notification as SCP (N-CREATE, PS3.4 annex R): a peer says which instances of a study it holds.

A notification is kept as it came, with the title it came from; whether it is believed is decided with the study.
"""

import uuid

from listener.scp.command_set import Command, response
from listener.scp.limits import COMMITMENT_REFERENCES
from listener.scp.negotiation import AcceptedContext
from listener.scp.presentation_contexts import INSTANCE_AVAILABILITY, is_never_stored
from listener.scp.small_data_set import SmallDataSet
from listener.scp.status import NOTICE_CANNOT_BE_KEPT, NOTICE_KEPT, TOO_MANY_NOTICES, UNREADABLE_NOTICE, Status
from storage.domain.association import Association
from storage.domain.completeness import AvailabilityNotice
from storage.domain.element_walk import Encoding, item_parts, item_values, wanted_values
from storage.domain.identifiers import is_uid
from storage.errors import MissingSequence, SpoolFull, SpoolWriteFailed, UnreadableDataSet
from storage.ports.completeness import AvailabilityNotices

_STUDY_INSTANCE_UID = 0x0020000D
_REFERENCED_SERIES_SEQUENCE = 0x00081115
_REFERENCED_SOP_SEQUENCE = 0x00081199
_REFERENCED_SOP_CLASS_UID = 0x00081150
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_INSTANCE_AVAILABILITY = 0x00080056
_UNAVAILABLE = b"UNAVAILABLE"
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"


class AvailabilityOperation(SmallDataSet):
    """An N-CREATE: kept before it is answered with success."""

    def __init__(
        self, notices: AvailabilityNotices, context: AcceptedContext, command: Command, association: Association
    ) -> None:
        super().__init__(context, command, association)
        self._notices = notices

    def finish(self) -> bytes:
        """Keep the notification and answer; a SOP Instance without a UID is given one (PS3.7 section 10.1.5)."""
        status = self._status()
        given = self._command.sop_instance_uid
        uid = given if is_uid(given) else f"2.25.{uuid.uuid4().int}"
        return response(
            self._command.field, self._command.message_id, status.code, INSTANCE_AVAILABILITY, uid, status.comment
        )

    def _status(self) -> Status:
        try:
            study_instance_uid, uids = read_notice(bytes(self._data_set), self.context.transfer_syntax)
        except UnreadableDataSet:
            return UNREADABLE_NOTICE
        try:
            self._notices.keep(AvailabilityNotice(study_instance_uid, uids, self._association.calling_ae_title))
        except SpoolFull:
            return TOO_MANY_NOTICES
        except SpoolWriteFailed:
            return NOTICE_CANNOT_BE_KEPT
        return NOTICE_KEPT


def read_notice(data_set: bytes, transfer_syntax_uid: str) -> tuple[str, tuple[str, ...]]:
    """Study Instance UID and the instances that can be had and sent here, of an N-CREATE (PS3.4 table R.3.2-1).

    Raises:
        UnreadableDataSet: the data set cannot be read, is too large, names nothing, or a UID in it is malformed.
    """
    encoding = Encoding(implicit_vr=transfer_syntax_uid == _IMPLICIT_LITTLE)
    found = wanted_values(data_set, encoding, frozenset({_STUDY_INSTANCE_UID}))
    items = _references(data_set, encoding)
    to_be_had = [item for item in items if item.get(_INSTANCE_AVAILABILITY, b"").strip() != _UNAVAILABLE]
    storable = [item for item in to_be_had if not is_never_stored(_text(item.get(_REFERENCED_SOP_CLASS_UID)))]
    uids = tuple(dict.fromkeys(_uid(item.get(_REFERENCED_SOP_INSTANCE_UID)) for item in storable))
    return _uid(found.get(_STUDY_INSTANCE_UID)), uids


def _references(data_set: bytes, encoding: Encoding) -> list[dict[int, bytes]]:
    wanted = frozenset({_REFERENCED_SOP_CLASS_UID, _REFERENCED_SOP_INSTANCE_UID, _INSTANCE_AVAILABILITY})
    items: list[dict[int, bytes]] = []
    try:
        for series in item_parts(data_set, encoding, _REFERENCED_SERIES_SEQUENCE, COMMITMENT_REFERENCES):
            room = COMMITMENT_REFERENCES - len(items)
            items += item_values(series, encoding, _REFERENCED_SOP_SEQUENCE, wanted, room)
    except MissingSequence:
        raise UnreadableDataSet() from None
    if not items:
        raise UnreadableDataSet()
    return items


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\x00 ").decode("ascii", errors="replace")


def _uid(value: bytes | None) -> str:
    uid = _text(value)
    if not is_uid(uid):
        raise UnreadableDataSet()
    return uid
