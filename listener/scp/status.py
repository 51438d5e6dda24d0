"""Every status a request may be answered with; ``docs/conformance-statement.md`` holds the same table.

Codes are those of PS3.7 annex C and PS3.4 table B.2-1. The comment is what the sender reads as Error Comment
(0000,0902): a fixed text of at most 64 characters, never anything that came from the peer.
"""

from dataclasses import dataclass

from storage.domain.study import KeepOutcome, QuarantineReason


@dataclass(frozen=True, slots=True)
class Status:
    """One answer: its code, what it tells the sender, where the Standard has it, and what the sender should do."""

    name: str
    code: int
    comment: str
    section: str
    sender_action: str


SUCCESS = Status(
    "Success",
    0x0000,
    "",
    "PS3.4 B.2.3",
    "Nothing: the instance is on stable storage, now or since an earlier transfer of the same bytes.",
)
DUPLICATE_SOP_INSTANCE = Status(
    "Duplicate SOP Instance",
    0x0111,
    "Other bytes are already held under this SOP Instance UID",
    "PS3.7 annex C",
    "Not send it again: the first copy stays and an operator compares it with this one, which is in quarantine.",
)
SOP_CLASS_NOT_SUPPORTED = Status(
    "Refused: SOP Class Not Supported",
    0x0122,
    "The SOP Class is not that of the presentation context",
    "PS3.7 annex C",
    "Propose a presentation context for the SOP Class of the instance and send it there.",
)
OUT_OF_RESOURCES = Status(
    "Refused: Out of Resources",
    0xA700,
    "The instance could not be stored durably; send it again later",
    "PS3.4 B.2.3",
    "Keep the instance and send it again later: nothing is promised for it.",
)
DATA_SET_DOES_NOT_MATCH = Status(
    "Error: Data Set Does Not Match SOP Class",
    0xA900,
    "A required UID is missing, malformed or not that of the command",
    "PS3.4 B.2.3",
    "Correct the instance's UIDs; what was sent is in quarantine.",
)
CANNOT_UNDERSTAND = Status(
    "Error: Cannot Understand",
    0xC000,
    "The data set cannot be read as DICOM",
    "PS3.4 B.2.3",
    "Repair the instance; what was sent is in quarantine.",
)
UNRECOGNIZED_OPERATION = Status(
    "Refused: Unrecognized Operation",
    0x0211,
    "This operation is not performed here",
    "PS3.7 annex C",
    "Ask for C-ECHO or C-STORE only; the association goes on.",
)

NO_SUCH_OBJECT = Status(
    "No Such SOP Instance",
    0x0112,
    "The SOP Instance is not that of storage commitment",
    "PS3.7 annex C",
    "Address the well-known instance 1.2.840.10008.1.20.1.1.",
)
INVALID_ARGUMENT = Status(
    "Invalid Argument Value",
    0x0115,
    "The Action Information cannot be read or names too much",
    "PS3.7 annex C",
    "Give a Transaction UID and 1 to 5000 references with UIDs that follow the Standard.",
)
NO_SUCH_ACTION = Status(
    "No Such Action",
    0x0123,
    "The Action Type is not 1",
    "PS3.7 annex C",
    "Ask with Action Type ID 1.",
)
CANNOT_BE_KEPT = Status(
    "Processing Failure",
    0x0110,
    "The request could not be kept; ask again later",
    "PS3.7 annex C",
    "Ask again later.",
)
TOO_MANY_REQUESTS = Status(
    "Resource Limitation",
    0x0213,
    "Too many requests wait; ask again later",
    "PS3.7 annex C",
    "Ask again later.",
)

NO_SUCH_EVENT = Status(
    "No Such Event Type",
    0x0113,
    "The Event Type is neither 1 nor 2",
    "PS3.7 annex C",
    "Report with Event Type ID 1 or 2.",
)
UNREADABLE_REPORT = Status(
    "Invalid Argument Value",
    0x0115,
    "The Event Information cannot be read or names too much",
    "PS3.7 annex C",
    "Give the Transaction UID of our request and references with UIDs that follow the Standard.",
)
REPORT_CANNOT_BE_KEPT = Status(
    "Processing Failure",
    0x0110,
    "The report could not be kept; report again later",
    "PS3.7 annex C",
    "Report again later.",
)
TOO_MANY_REPORTS = Status(
    "Resource Limitation",
    0x0213,
    "Too many reports wait; report again later",
    "PS3.7 annex C",
    "Report again later.",
)

UNREADABLE_NOTICE = Status(
    "Invalid Attribute Value",
    0x0106,
    "The Attribute List cannot be read or names too much",
    "PS3.7 annex C",
    "Give a Study Instance UID and up to 5000 references with UIDs that follow the Standard.",
)
NOTICE_CANNOT_BE_KEPT = Status(
    "Processing Failure",
    0x0110,
    "The notification could not be kept; notify again later",
    "PS3.7 annex C",
    "Notify again later.",
)
TOO_MANY_NOTICES = Status(
    "Resource Limitation",
    0x0213,
    "Too many notifications wait; notify again later",
    "PS3.7 annex C",
    "Notify again later.",
)

STATUSES = (
    SUCCESS,
    DUPLICATE_SOP_INSTANCE,
    SOP_CLASS_NOT_SUPPORTED,
    OUT_OF_RESOURCES,
    DATA_SET_DOES_NOT_MATCH,
    CANNOT_UNDERSTAND,
    UNRECOGNIZED_OPERATION,
)

REQUEST_TAKEN = Status(
    "Success", 0x0000, "", "PS3.7 annex C", "Wait for the report: the request is kept until it was delivered."
)

ACTION_STATUSES = (REQUEST_TAKEN, CANNOT_BE_KEPT, NO_SUCH_OBJECT, INVALID_ARGUMENT, NO_SUCH_ACTION, TOO_MANY_REQUESTS)

REPORT_KEPT = Status(
    "Success", 0x0000, "", "PS3.7 annex C", "Nothing: the report is kept, and read once the database is there."
)

EVENT_STATUSES = (
    REPORT_KEPT,
    REPORT_CANNOT_BE_KEPT,
    NO_SUCH_OBJECT,
    NO_SUCH_EVENT,
    UNREADABLE_REPORT,
    TOO_MANY_REPORTS,
)

NOTICE_KEPT = Status(
    "Success", 0x0000, "", "PS3.7 annex C", "Nothing: the notification is kept, and read once the database is there."
)

CREATE_STATUSES = (NOTICE_KEPT, UNREADABLE_NOTICE, NOTICE_CANNOT_BE_KEPT, TOO_MANY_NOTICES)

STATUS_OF_OUTCOME: dict[KeepOutcome, Status] = {
    KeepOutcome.STORED: SUCCESS,
    KeepOutcome.ALREADY_HELD: SUCCESS,
    KeepOutcome.CONFLICT: DUPLICATE_SOP_INSTANCE,
}

# A conflict is found by the spool and damage on disk by the importer; both come after the header was accepted.
STATUS_OF_REFUSAL: dict[QuarantineReason, Status] = {
    QuarantineReason.UNPARSABLE: CANNOT_UNDERSTAND,
    QuarantineReason.IDENTITY_MISMATCH: DATA_SET_DOES_NOT_MATCH,
    QuarantineReason.MALFORMED_IDENTIFIER: DATA_SET_DOES_NOT_MATCH,
}
