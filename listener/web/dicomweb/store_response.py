"""The answer to a store request: one HTTP status, and what became of each instance (PS3.18 section 10.5.3).

``docs/conformance-statement.md`` holds the same tables; a test holds them equal.
"""

from collections.abc import Sequence

from listener.scp.status import OUT_OF_RESOURCES, STATUSES, SUCCESS, UNRECOGNIZED_OPERATION
from listener.web.dicomweb.addresses import Addresses
from listener.web.dicomweb.dicom_json import Attributes, attribute
from listener.web.intake import TRANSFER_SYNTAX_NOT_SUPPORTED, Taken
from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier

RETRY_SECONDS = 30

# Failure Reason (0008,1197) is the code that C-STORE would have answered.
FAILURE_REASONS = {
    status.code: status
    for status in (*STATUSES, TRANSFER_SYNTAX_NOT_SUPPORTED)
    if status not in (SUCCESS, UNRECOGNIZED_OPERATION)
}

# HTTP status → when. The first three go with the data set below, the others with one sentence.
STORE_STATUSES: dict[int, str] = {
    200: "Every instance is on stable storage, now or since an earlier transfer of the same bytes.",
    202: "Some instances are; the others stand in Failed SOP Sequence or Other Failures Sequence with the reason.",
    409: "No instance was stored; each stands there with the reason.",
    503: "No instance was stored, because none could be made durable now, or too many uploads run: send it again.",
    400: "The body is no well-formed multipart/related, or holds no part or too many refused; the rest is told.",
    401: "Nobody is logged in.",
    403: "The account may not store.",
    406: "The client takes no application/dicom+json.",
    408: "The body came too slowly.",
    413: "The body or an instance is larger than allowed; what came before it is told.",
    415: "The body is not multipart/related with parts of application/dicom, or has a Content-Encoding.",
    429: "Too many logins failed, or too many instances of the account were refused; wait as Retry-After says.",
}


def http_status(taken: Sequence[Taken]) -> int:
    """The status for a body that was read to its end."""
    stored = sum(each.stored for each in taken)
    if stored:
        return 200 if stored == len(taken) else 202
    return 503 if all(each.status is OUT_OF_RESOURCES for each in taken) else 409


def store_response(taken: Sequence[Taken], addresses: Addresses) -> Attributes:
    """The Store Instances Response Module (PS3.18 table I.2-1)."""
    studies = {each.study_instance_uid for each in taken if each.stored}
    answer: Attributes = {}
    if len(studies) == 1:
        answer |= attribute("RetrieveURL", addresses.study(studies.pop()))
    failed = [each for each in taken if not each.stored]
    answer |= attribute("FailedSOPSequence", *(_failed(each) for each in failed if _is_named(each)))
    answer |= attribute("ReferencedSOPSequence", *(_stored(each, addresses) for each in taken if each.stored))
    others = [attribute("FailureReason", each.status.code) for each in failed if not _is_named(each)]
    if others:
        answer |= attribute("OtherFailuresSequence", *others)
    return answer


def _stored(taken: Taken, addresses: Addresses) -> Attributes:
    return _reference(taken) | attribute(
        "RetrieveURL",
        addresses.instance(taken.study_instance_uid, taken.series_instance_uid, taken.sop_instance_uid),
    )


def _failed(taken: Taken) -> Attributes:
    return _reference(taken) | attribute("FailureReason", taken.status.code)


def _reference(taken: Taken) -> Attributes:
    return attribute("ReferencedSOPClassUID", taken.sop_class_uid) | attribute(
        "ReferencedSOPInstanceUID", taken.sop_instance_uid
    )


def _is_named(taken: Taken) -> bool:
    """Whether both UIDs follow the Standard; anything else that a sender wrote there is not repeated."""
    try:
        checked_uid(taken.sop_class_uid, "SOPClassUID")
        checked_uid(taken.sop_instance_uid, "SOPInstanceUID")
    except InvalidIdentifier:
        return False
    return True
