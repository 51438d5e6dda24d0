"""What an answer to C-STORE means for us: delivered, try again, or refused for good.

The statuses are those of PS3.4 section B.2.3 and PS3.7 annex C; what we do with them is one literal table. Text that
the peer sends along (Error Comment) is never repeated, because it may name a patient.
"""

from enum import StrEnum
from typing import NamedTuple

from storage.domain.delivery import SendOutcome, Verdict


class StatusRule(NamedTuple):
    """What every status from ``first`` to ``last`` means; ``note`` is one sentence for an operator."""

    first: int
    last: int
    verdict: Verdict
    note: str


# The first row that holds the status decides.
STATUS_RULES: tuple[StatusRule, ...] = (
    StatusRule(0x0000, 0x0000, Verdict.DELIVERED, "The destination stored the instance."),
    StatusRule(
        0x0110,
        0x0110,
        Verdict.TRY_AGAIN,
        "The destination failed while processing the instance (0x0110); it is sent again.",
    ),
    StatusRule(
        0x0111,
        0x0111,
        Verdict.DELIVERED,
        # Our bytes are frozen before the first send, so what it holds under our UID is an earlier send of these bytes.
        "The destination already holds an instance with this UID (0x0111), from an earlier send.",
    ),
    StatusRule(
        0x0117,
        0x0117,
        Verdict.REFUSED,
        "The destination does not accept the SOP Instance UID (0x0117); ask its vendor why.",
    ),
    StatusRule(
        0x0122,
        0x0122,
        Verdict.REFUSED,
        "The destination does not support this SOP Class (0x0122); enable it there.",
    ),
    StatusRule(
        0x0124,
        0x0124,
        Verdict.TRY_AGAIN,
        "The destination does not authorise us to store (0x0124); allow our AE title there.",
    ),
    StatusRule(
        0x0210,
        0x0210,
        Verdict.TRY_AGAIN,
        "The destination took the request for a duplicate message (0x0210); it is sent again.",
    ),
    StatusRule(
        0x0211,
        0x0211,
        Verdict.REFUSED,
        "The destination does not recognise C-STORE (0x0211); check that its address is that of an archive.",
    ),
    StatusRule(
        0x0212,
        0x0212,
        Verdict.REFUSED,
        "The destination found the C-STORE request malformed (0x0212); ask its vendor why.",
    ),
    StatusRule(
        0xA700,
        0xA7FF,
        Verdict.TRY_AGAIN,
        "The destination is out of resources (0xA7xx); free space there.",
    ),
    StatusRule(
        0xA900,
        0xA9FF,
        Verdict.REFUSED,
        "The destination says that the data set does not match its SOP Class (0xA9xx); ask its vendor why.",
    ),
    StatusRule(
        0xB000,
        0xB000,
        Verdict.DELIVERED,
        "The destination stored the instance but changed some data elements (warning 0xB000).",
    ),
    StatusRule(
        0xB006,
        0xB006,
        Verdict.DELIVERED,
        "The destination stored the instance but dropped some data elements (warning 0xB006).",
    ),
    StatusRule(
        0xB007,
        0xB007,
        Verdict.DELIVERED,
        "The destination stored the instance but says that it does not match its SOP Class (warning 0xB007).",
    ),
    StatusRule(
        0xB000,
        0xBFFF,
        Verdict.DELIVERED,
        # PS3.7 section C.1: Bxxx is the warning class, and a warning means that the operation was done.
        "The destination stored the instance with a warning of its own (0xBxxx).",
    ),
    StatusRule(
        0xC000,
        0xCFFF,
        Verdict.REFUSED,
        "The destination cannot understand the instance (0xCxxx); ask its vendor why.",
    ),
    StatusRule(
        0x0000,
        0xFFFF,
        Verdict.TRY_AGAIN,
        "The destination gave a status that the Standard does not define for C-STORE; it is sent again.",
    ),
)


class NoAnswer(StrEnum):
    """Why an instance has no status from the destination."""

    UNKNOWN_HOST = "unknown-host"
    UNREACHABLE = "unreachable"
    NOT_ACCEPTED = "not-accepted"  # no presentation context for this SOP Class and transfer syntax
    TOO_LARGE = "too-large"
    TRANSFER_SYNTAX_NOT_SHOWN = "transfer-syntax-not-shown"
    REJECTED_FOR_NOW = "rejected-for-now"
    REJECTED = "rejected"
    CALLING_AE_TITLE_UNKNOWN = "calling-ae-title-unknown"
    CALLED_AE_TITLE_UNKNOWN = "called-ae-title-unknown"
    NO_ASSOCIATION = "no-association"
    TLS_AUTHORITIES_UNUSABLE = "tls-authorities-unusable"
    OUR_CERTIFICATE_UNUSABLE = "our-certificate-unusable"
    TLS_NOT_SPOKEN = "tls-not-spoken"
    TLS_NOT_AGREED = "tls-not-agreed"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_OF_UNKNOWN_AUTHORITY = "certificate-of-unknown-authority"
    CERTIFICATE_OF_ANOTHER = "certificate-of-another"
    CERTIFICATE_NOT_VALID = "certificate-not-valid"
    OUR_CERTIFICATE_REFUSED = "our-certificate-refused"
    BROKEN = "broken"
    INTERRUPTED = "interrupted"


# It had begun to leave us, or may have.
_PERHAPS_SENT = frozenset({NoAnswer.BROKEN, NoAnswer.INTERRUPTED})
# Not a matter of the instance that was to be sent: the next one would fare no better.
_OUT_OF_REACH = frozenset(
    {
        NoAnswer.UNKNOWN_HOST,
        NoAnswer.UNREACHABLE,
        NoAnswer.REJECTED_FOR_NOW,
        NoAnswer.REJECTED,
        NoAnswer.CALLING_AE_TITLE_UNKNOWN,
        NoAnswer.CALLED_AE_TITLE_UNKNOWN,
        NoAnswer.NO_ASSOCIATION,
        NoAnswer.TLS_AUTHORITIES_UNUSABLE,
        NoAnswer.OUR_CERTIFICATE_UNUSABLE,
        NoAnswer.TLS_NOT_SPOKEN,
        NoAnswer.TLS_NOT_AGREED,
        NoAnswer.CERTIFICATE_EXPIRED,
        NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,
        NoAnswer.CERTIFICATE_OF_ANOTHER,
        NoAnswer.CERTIFICATE_NOT_VALID,
        NoAnswer.OUR_CERTIFICATE_REFUSED,
        NoAnswer.BROKEN,
    }
)

_NO_ANSWER_RULES: dict[NoAnswer, tuple[Verdict, str]] = {
    NoAnswer.UNKNOWN_HOST: (
        Verdict.TRY_AGAIN,
        "No machine has the name that stands as host in the [[destinations]] entry; correct host, or the name service.",
    ),
    NoAnswer.UNREACHABLE: (
        Verdict.TRY_AGAIN,
        "The destination could not be reached; check that it runs and listens on the port of its [[destinations]] "
        "entry, and that no firewall is between.",
    ),
    NoAnswer.NOT_ACCEPTED: (
        Verdict.REFUSED,
        "The destination accepts no presentation context for this SOP Class and transfer syntax; enable it there.",
    ),
    NoAnswer.TOO_LARGE: (
        Verdict.REFUSED,
        "The instance is larger than max_instance_bytes of its [[destinations]] entry; raise it if the destination can "
        "take more.",
    ),
    NoAnswer.TRANSFER_SYNTAX_NOT_SHOWN: (
        Verdict.REFUSED,
        "The destination's profile does not show this transfer syntax; give it another profile.",
    ),
    NoAnswer.REJECTED_FOR_NOW: (
        Verdict.TRY_AGAIN,
        "The destination rejected the association for now (transient); it may be busy.",
    ),
    NoAnswer.REJECTED: (
        Verdict.TRY_AGAIN,
        "The destination rejected the association for good; check there whether Overread may associate.",
    ),
    NoAnswer.CALLING_AE_TITLE_UNKNOWN: (
        Verdict.TRY_AGAIN,
        "The destination does not recognise our AE title; add Overread to the peers it knows.",
    ),
    NoAnswer.CALLED_AE_TITLE_UNKNOWN: (
        Verdict.TRY_AGAIN,
        "The destination is not known by the AE title we call; correct ae_title in its [[destinations]] entry.",
    ),
    NoAnswer.NO_ASSOCIATION: (
        Verdict.TRY_AGAIN,
        "The destination did not answer the association request in time or aborted it; check that it speaks DICOM, "
        "and whether it does so by TLS only.",
    ),
    NoAnswer.TLS_AUTHORITIES_UNUSABLE: (
        Verdict.TRY_AGAIN,
        "The file of tls_ca in the [[destinations]] entry is no PEM file of certificates that this account may read; "
        "correct it.",
    ),
    NoAnswer.OUR_CERTIFICATE_UNUSABLE: (
        Verdict.TRY_AGAIN,
        "The files of tls_certificate and tls_key in the [[destinations]] entry are not a certificate and its key, as "
        "PEM, without a password and readable by this account but not by all; correct them.",
    ),
    NoAnswer.TLS_NOT_SPOKEN: (
        Verdict.TRY_AGAIN,
        "The destination does not speak TLS on this port; correct port, or take tls out of its [[destinations]] entry.",
    ),
    NoAnswer.TLS_NOT_AGREED: (
        Verdict.TRY_AGAIN,
        "The destination speaks no version and suite of TLS that we speak, or wants a certificate that we have none "
        "of; bring its TLS up to date, or set tls_certificate and tls_key.",
    ),
    NoAnswer.CERTIFICATE_EXPIRED: (
        Verdict.TRY_AGAIN,
        "The certificate of the destination has expired, or is not valid yet; have it renewed there, or set the clock.",
    ),
    NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY: (
        Verdict.TRY_AGAIN,
        "The certificate of the destination is signed by none of the authorities in tls_ca; add its authority there.",
    ),
    NoAnswer.CERTIFICATE_OF_ANOTHER: (
        Verdict.TRY_AGAIN,
        "The certificate of the destination is for another name than that of host; correct host, or name what the "
        "certificate is for as tls_server_name.",
    ),
    NoAnswer.CERTIFICATE_NOT_VALID: (
        Verdict.TRY_AGAIN,
        "The certificate of the destination is not valid for a server or is signed too weakly; have it renewed there.",
    ),
    NoAnswer.OUR_CERTIFICATE_REFUSED: (
        Verdict.TRY_AGAIN,
        "The destination refused our certificate, or the lack of one; add its authority there, or correct "
        "tls_certificate and tls_key.",
    ),
    NoAnswer.BROKEN: (
        Verdict.TRY_AGAIN,
        "The association ended before the destination answered; the instance is sent again.",
    ),
    NoAnswer.INTERRUPTED: (
        Verdict.TRY_AGAIN,
        "Sending was stopped before the destination answered; the instance is sent again.",
    ),
}

_PERMANENT = 0x01  # PS3.8 table 9-21, Result
_SERVICE_USER = 0x01  # Source
_REJECT_DIAGNOSTICS: dict[int, NoAnswer] = {
    0x03: NoAnswer.CALLING_AE_TITLE_UNKNOWN,
    0x07: NoAnswer.CALLED_AE_TITLE_UNKNOWN,
}


def status_rule(status: int) -> StatusRule:
    """The row that decides what ``status`` (0 to 0xFFFF) means; every status has one."""
    return next(rule for rule in STATUS_RULES if rule.first <= status <= rule.last)


def outcome_of_status(sop_instance_uid: str, status: int) -> SendOutcome:
    """What came of an instance that was answered with ``status``."""
    rule = status_rule(status)
    return SendOutcome(sop_instance_uid, rule.verdict, status, rule.note)


def outcome_without_answer(sop_instance_uid: str, why: NoAnswer) -> SendOutcome:
    """What came of an instance that was not answered at all; never *delivered*."""
    verdict, note = _NO_ANSWER_RULES[why]
    return SendOutcome(
        sop_instance_uid, verdict, None, note, out_of_reach=why in _OUT_OF_REACH, went_out=why in _PERHAPS_SENT
    )


def outcome_without_form(sop_instance_uid: str, word: str, profile: str) -> SendOutcome:
    """What came of an instance of a ``word`` ("segmentation", "report") that was made in no form of the profile."""
    note = (
        f"The result has its {word} in no form that the destination's profile {profile} holds, so it was not sent; "
        "resubmit the analysis to have one made, or give the destination another profile."
    )
    return SendOutcome(sop_instance_uid, Verdict.REFUSED, None, note, offered=False)


def no_answer_note(why: NoAnswer) -> str:
    """The sentence for an operator."""
    return _NO_ANSWER_RULES[why][1]


def reject_reason(result: int, source: int, diagnostic: int) -> NoAnswer:
    """What an A-ASSOCIATE-RJ means (PS3.8 section 9.3.4)."""
    if result != _PERMANENT:
        return NoAnswer.REJECTED_FOR_NOW
    if source != _SERVICE_USER:
        return NoAnswer.REJECTED
    return _REJECT_DIAGNOSTICS.get(diagnostic, NoAnswer.REJECTED)
