"""Reports of storage commitment that come to us, on requests of ours (N-EVENT-REPORT, PS3.4 section J.3.3).

Who reports is not asked here: a report is kept as it came, with the title and address it came from, and believed or not
once the database is there (``storage.postgres.proof_reports``).
"""

from pydicom.dataset import Dataset

from listener.scp.command_set import Command, response
from listener.scp.commitment import ALL_COMMITTED, SOME_FAILED, SOP_CLASS, SOP_INSTANCE
from listener.scp.limits import COMMITMENT_REFERENCES
from listener.scp.negotiation import AcceptedContext
from listener.scp.small_data_set import SmallDataSet
from listener.scp.status import (
    NO_SUCH_EVENT,
    NO_SUCH_OBJECT,
    REPORT_CANNOT_BE_KEPT,
    REPORT_KEPT,
    TOO_MANY_REPORTS,
    UNREADABLE_REPORT,
    Status,
)
from storage.domain.association import Association
from storage.domain.commitment import ReceivedReport
from storage.domain.element_walk import Encoding, item_values, wanted_values
from storage.domain.identifiers import is_uid
from storage.errors import MissingSequence, SpoolFull, SpoolWriteFailed, UnreadableDataSet
from storage.ports.commitment import CommitmentReports

_TRANSACTION_UID = 0x00081195
_REFERENCED_SOP_SEQUENCE = 0x00081199
_FAILED_SOP_SEQUENCE = 0x00081198
_FAILURE_REASON = 0x00081197
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"


class ReportOperation(SmallDataSet):
    """An N-EVENT-REPORT: kept before it is answered with success."""

    def __init__(
        self, reports: CommitmentReports, context: AcceptedContext, command: Command, association: Association
    ) -> None:
        super().__init__(context, command, association)
        self._reports = reports

    def finish(self) -> bytes:
        """Keep the report and answer."""
        status = self._status()
        command = self._command
        return response(command.field, command.message_id, status.code, SOP_CLASS, SOP_INSTANCE, status.comment)

    def _status(self) -> Status:
        if self._command.sop_instance_uid != SOP_INSTANCE:
            return NO_SUCH_OBJECT
        if self._command.type_id not in (ALL_COMMITTED, SOME_FAILED):
            return NO_SUCH_EVENT
        who = self._association
        try:
            transaction_uid, committed, failures = read_report(bytes(self._data_set), self.context.transfer_syntax)
        except UnreadableDataSet:
            return UNREADABLE_REPORT
        try:
            self._reports.keep(
                ReceivedReport(transaction_uid, committed, failures, who.calling_ae_title, who.remote_address)
            )
        except SpoolFull:
            return TOO_MANY_REPORTS
        except SpoolWriteFailed:
            return REPORT_CANNOT_BE_KEPT
        return REPORT_KEPT


def read_report(data_set: bytes, transfer_syntax_uid: str) -> tuple[str, frozenset[str], dict[str, int]]:
    """Transaction UID, what is committed to, and the Failure Reason of the rest (PS3.4 table J.3-2).

    Raises:
        UnreadableDataSet: the data set cannot be read, is too large, or a UID in it is missing or malformed.
    """
    encoding = Encoding(implicit_vr=transfer_syntax_uid == _IMPLICIT_LITTLE)
    found = wanted_values(data_set, encoding, frozenset({_TRANSACTION_UID}))
    committed, failed = (_items(data_set, encoding, each) for each in (_REFERENCED_SOP_SEQUENCE, _FAILED_SOP_SEQUENCE))
    if not committed and not failed:
        raise UnreadableDataSet()
    failures = {
        _uid(item.get(_REFERENCED_SOP_INSTANCE_UID)): int.from_bytes(item.get(_FAILURE_REASON, b"")[:2], "little")
        for item in failed
    }
    uids = frozenset(_uid(item.get(_REFERENCED_SOP_INSTANCE_UID)) for item in committed)
    return _uid(found.get(_TRANSACTION_UID)), uids - failures.keys(), failures


def _items(data_set: bytes, encoding: Encoding, sequence: int) -> list[dict[int, bytes]]:
    """The references of one of the two sequences; each is there only where it has any (PS3.4 table J.3-2)."""
    wanted = frozenset({_REFERENCED_SOP_INSTANCE_UID, _FAILURE_REASON})
    try:
        return item_values(data_set, encoding, sequence, wanted, COMMITMENT_REFERENCES)
    except MissingSequence:
        return []


def report_of(event_information: Dataset, calling_ae_title: str, remote_address: str) -> ReceivedReport:
    """A report that the toolkit has read, on an association of ours.

    Raises:
        UnreadableDataSet: a UID in it is missing or malformed.
    """
    failures = {
        _checked(str(item.get("ReferencedSOPInstanceUID", ""))): int(item.get("FailureReason") or 0)
        for item in event_information.get("FailedSOPSequence") or ()
    }
    committed = frozenset(
        _checked(str(item.get("ReferencedSOPInstanceUID", "")))
        for item in event_information.get("ReferencedSOPSequence") or ()
    )
    transaction_uid = _checked(str(event_information.get("TransactionUID", "")))
    return ReceivedReport(transaction_uid, committed - failures.keys(), failures, calling_ae_title, remote_address)


def _uid(value: bytes | None) -> str:
    return _checked((value or b"").rstrip(b"\x00 ").decode("ascii", errors="replace"))


def _checked(uid: str) -> str:
    if not is_uid(uid):
        raise UnreadableDataSet()
    return uid
