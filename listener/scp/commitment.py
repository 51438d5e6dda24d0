"""Storage Commitment as SCP, push model (PS3.4 annex J): what is asked, and how it is reported."""

from datetime import UTC, datetime

from pydicom.dataset import Dataset

from listener.scp.command_set import Command, response
from listener.scp.limits import COMMITMENT_REFERENCES
from listener.scp.negotiation import AcceptedContext
from listener.scp.presentation_contexts import STORAGE_COMMITMENT
from listener.scp.small_data_set import SmallDataSet
from listener.scp.status import (
    CANNOT_BE_KEPT,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_OBJECT,
    REQUEST_TAKEN,
    TOO_MANY_REQUESTS,
    Status,
)
from storage.domain.association import Association
from storage.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from storage.domain.element_walk import Encoding, item_values, wanted_values
from storage.domain.identifiers import is_uid
from storage.errors import SpoolFull, SpoolWriteFailed, UnreadableDataSet
from storage.ports.commitment import CommitmentRequests

SOP_CLASS = STORAGE_COMMITMENT
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"  # well known (PS3.4 section J.3.5)
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type ID (PS3.4 table J.3-2)

# Failure Reason (PS3.3 section C.14.1.1)
PROCESSING_FAILURE = 0x0110
NO_SUCH_OBJECT_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119

_REQUEST_ACTION = 1  # Action Type ID (PS3.4 table J.3-1)
_TRANSACTION_UID = 0x00081195
_REFERENCED_SOP_SEQUENCE = 0x00081199
_REFERENCED_SOP_CLASS_UID = 0x00081150
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"


class CommitmentOperation(SmallDataSet):
    """An N-ACTION: kept before it is answered; ``request_id`` is set once it is."""

    def __init__(
        self, requests: CommitmentRequests, context: AcceptedContext, command: Command, association: Association
    ) -> None:
        super().__init__(context, command, association)
        self._requests = requests
        self.request_id = ""

    def finish(self) -> bytes:
        """Keep the request and answer; the report comes later."""
        status = self._status()
        return response(
            self._command.field,
            self._command.message_id,
            status.code,
            SOP_CLASS,
            SOP_INSTANCE,
            status.comment,
        )

    def _status(self) -> Status:
        if self._command.sop_instance_uid != SOP_INSTANCE:
            return NO_SUCH_OBJECT
        if self._command.type_id != _REQUEST_ACTION:
            return NO_SUCH_ACTION
        try:
            transaction_uid, references = read_request(bytes(self._data_set), self.context.transfer_syntax)
        except UnreadableDataSet:
            return INVALID_ARGUMENT
        try:
            self.request_id = self._requests.keep(
                CommitmentRequest(
                    transaction_uid,
                    references,
                    self._association.calling_ae_title,
                    self._association.called_ae_title,
                    self._association.remote_address,
                    datetime.now(UTC),
                )
            )
        except SpoolFull:
            return TOO_MANY_REQUESTS
        except SpoolWriteFailed:
            return CANNOT_BE_KEPT
        return REQUEST_TAKEN


def read_request(data_set: bytes, transfer_syntax_uid: str) -> tuple[str, tuple[Reference, ...]]:
    """Transaction UID and references of an N-ACTION (PS3.4 table J.3-1).

    Raises:
        UnreadableDataSet: the data set cannot be read, is too large, or a UID in it is missing or malformed.
    """
    encoding = Encoding(implicit_vr=transfer_syntax_uid == _IMPLICIT_LITTLE)
    found = wanted_values(data_set, encoding, frozenset({_TRANSACTION_UID}))
    items = item_values(
        data_set,
        encoding,
        _REFERENCED_SOP_SEQUENCE,
        frozenset({_REFERENCED_SOP_CLASS_UID, _REFERENCED_SOP_INSTANCE_UID}),
        COMMITMENT_REFERENCES,
    )
    references = tuple(
        Reference(_uid(item.get(_REFERENCED_SOP_CLASS_UID)), _uid(item.get(_REFERENCED_SOP_INSTANCE_UID)))
        for item in items
    )
    if not references:
        raise UnreadableDataSet()
    return _uid(found.get(_TRANSACTION_UID)), references


def report_data_set(report: CommitmentReport) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of the report (PS3.4 table J.3-2)."""
    data_set = Dataset()
    data_set.TransactionUID = report.request.transaction_uid
    committed, failed = [], []
    for reference in report.request.references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        # An earlier release kept failures by UID alone.
        reason = report.failures.get(reference.key, report.failures.get(reference.sop_instance_uid))
        if reason is None:
            committed.append(item)
        else:
            item.FailureReason = reason
            failed.append(item)
    if failed:
        data_set.FailedSOPSequence = failed
    if committed:
        data_set.ReferencedSOPSequence = committed
    return SOME_FAILED if failed else ALL_COMMITTED, data_set


def _uid(value: bytes | None) -> str:
    uid = (value or b"").rstrip(b"\x00 ").decode("ascii", errors="replace")
    if not is_uid(uid):
        raise UnreadableDataSet()
    return uid
