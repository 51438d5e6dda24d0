"""What an answer to a STOW-RS request means for us (PS3.18 section 10.5.3): delivered, try again, or refused for good.

What we do is three literal tables; they stand in the conformance statement too, and a test holds them equal. Text that
the peer sends along is never repeated, because it may name a patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from listener.scu.verdict import NoAnswer, no_answer_note, outcome_of_status
from listener.scu.web.dicom_json import DataSet, data_sets, items, number, text
from listener.scu.web.line import NoReply, Reply
from storage.domain.delivery import SendOutcome, Verdict

_STORED_NOTHING = (503, 507)  # whoever answers so has not begun
MOST_WAIT_SECONDS = 3600.0  # of a Retry-After; nobody can put our deliveries off for days
_REFERENCED, _FAILED, _OTHER_FAILURES = "00081199", "00081198", "0008119A"
_INSTANCE, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"


class Concerns(StrEnum):
    """What an answer is about."""

    INSTANCE = "instance"  # the body says what became of each instance; this is for one that it does not name
    REQUEST = "request"  # what was sent; of several objects each is sent again alone if it is refused
    DESTINATION = "destination"  # nothing more is sent this time


class HttpRule(NamedTuple):
    """What every HTTP status from ``first`` to ``last`` means; ``note`` is one sentence for an operator."""

    first: int
    last: int
    concerns: Concerns
    verdict: Verdict
    note: str


# The first row that holds the status decides.
HTTP_RULES: tuple[HttpRule, ...] = (
    HttpRule(
        200,
        200,
        Concerns.INSTANCE,
        Verdict.TRY_AGAIN,
        "The destination answered 200 but does not say that it stored the instance; it is sent again.",
    ),
    HttpRule(
        202,
        202,
        Concerns.INSTANCE,
        Verdict.TRY_AGAIN,
        "The destination answered 202 but does not say what became of the instance; it is sent again.",
    ),
    HttpRule(
        200,
        299,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination answered with a 2xx that STOW-RS does not have; check url in its [[destinations]] entry.",
    ),
    HttpRule(
        300,
        399,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination redirects us (3xx), which is not followed; write the address where it leads as url of its "
        "[[destinations]] entry.",
    ),
    HttpRule(
        400,
        400,
        Concerns.REQUEST,
        Verdict.REFUSED,
        "The destination could not read what was sent (400); look into its log.",
    ),
    HttpRule(
        401,
        401,
        Concerns.DESTINATION,
        Verdict.REFUSED,
        "The destination does not accept our credentials, or wants some (401); correct its [[destinations]] entry.",
    ),
    HttpRule(
        403,
        403,
        Concerns.DESTINATION,
        Verdict.REFUSED,
        "The destination does not allow us to store (403); allow it there.",
    ),
    HttpRule(
        404,
        405,
        Concerns.DESTINATION,
        Verdict.REFUSED,
        "The destination has no STOW-RS at its url (404 or 405); correct url in its [[destinations]] entry.",
    ),
    HttpRule(
        408,
        408,
        Concerns.REQUEST,
        Verdict.TRY_AGAIN,
        "The destination found that what was sent came too slowly (408); it is sent again.",
    ),
    HttpRule(
        409,
        409,
        Concerns.INSTANCE,
        Verdict.REFUSED,
        "The destination refused the request (409) and gives no reason for the instance; look into its log.",
    ),
    HttpRule(
        413,
        413,
        Concerns.REQUEST,
        Verdict.REFUSED,
        "The instance is larger than the destination takes (413); raise its limit there, or set max_instance_bytes.",
    ),
    HttpRule(
        415,
        415,
        Concerns.REQUEST,
        Verdict.REFUSED,
        "The destination does not take DICOM files of this kind over the web (415); enable it there.",
    ),
    HttpRule(
        425,
        425,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination asks to be sent to later (425).",
    ),
    HttpRule(
        429,
        429,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination got too many requests (429); it is waited for as long as it asks for.",
    ),
    HttpRule(
        400,
        499,
        Concerns.REQUEST,
        Verdict.REFUSED,
        "The destination refused what was sent (4xx); look into its log.",
    ),
    HttpRule(
        503,
        503,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination is busy or down for now (503); it is waited for as long as it asks for.",
    ),
    HttpRule(
        507,
        507,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination is out of space (507); free some there.",
    ),
    HttpRule(
        500,
        599,
        Concerns.REQUEST,
        Verdict.TRY_AGAIN,
        "The destination failed, or what stands before it did (5xx); it is sent again.",
    ),
    HttpRule(
        0,
        999,
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination gave a status that HTTP does not define; check url in its [[destinations]] entry.",
    ),
)


class FailureRule(NamedTuple):
    """What every Failure Reason (0008,1197) from ``first`` to ``last`` means."""

    first: int
    last: int
    verdict: Verdict
    note: str


# PS3.18 table 10.5.3-2 and what servers give beside it; the first row that holds the reason decides.
FAILURE_RULES: tuple[FailureRule, ...] = (
    FailureRule(
        0x0110,
        0x0110,
        Verdict.TRY_AGAIN,
        "The destination failed while processing the instance (0x0110); it is sent again.",
    ),
    FailureRule(
        0x0111,
        0x0111,
        Verdict.DELIVERED,
        # Our bytes are frozen before the first send, so what it holds under our UID is an earlier send of these bytes.
        "The destination already holds an instance with this UID (0x0111), from an earlier send.",
    ),
    FailureRule(
        0x0117,
        0x0117,
        Verdict.REFUSED,
        "The destination does not accept the SOP Instance UID (0x0117); ask its vendor why.",
    ),
    FailureRule(
        0x0122,
        0x0122,
        Verdict.REFUSED,
        "The destination does not support this SOP Class (0x0122); enable it there.",
    ),
    FailureRule(
        0x0124,
        0x0124,
        Verdict.TRY_AGAIN,
        "The destination does not authorise us to store (0x0124); allow it there.",
    ),
    FailureRule(
        0xA700,
        0xA7FF,
        Verdict.TRY_AGAIN,
        "The destination is out of resources (0xA7xx); free space there.",
    ),
    FailureRule(
        0xA900,
        0xA9FF,
        Verdict.REFUSED,
        "The destination says that the data set does not match its SOP Class (0xA9xx); ask its vendor why.",
    ),
    FailureRule(
        0xB00E,
        0xB00E,
        Verdict.DELIVERED,
        "The destination already holds an instance with this UID (45070), from an earlier send.",
    ),
    FailureRule(
        0xC122,
        0xC122,
        Verdict.REFUSED,
        "The destination does not support the transfer syntax of the instance (0xC122); enable it there.",
    ),
    FailureRule(
        0xC000,
        0xCFFF,
        Verdict.REFUSED,
        "The destination cannot understand the instance (0xCxxx); ask its vendor why.",
    ),
    FailureRule(
        0x0000,
        0xFFFF,
        Verdict.TRY_AGAIN,
        "The destination gave a reason that the Standard does not define for STOW-RS; it is sent again.",
    ),
)


class NoReplyRule(NamedTuple):
    """What it means that there is no answer, or none that can be read."""

    concerns: Concerns
    verdict: Verdict
    note: str


NO_REPLY_RULES: dict[NoReply, NoReplyRule] = {
    NoReply.UNKNOWN_HOST: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "No machine has the name in the url of the [[destinations]] entry; correct it, or the name service.",
    ),
    NoReply.UNREACHABLE: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination could not be reached; check that it runs and listens at the url of its [[destinations]] "
        "entry, and that no firewall is between.",
    ),
    NoReply.NO_TLS: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The destination does not speak TLS at its url; correct the port in it, or begin it with http://.",
    ),
    NoReply.NOTHING_TO_SHOW: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The file with our password, token or client secret for the destination cannot be read by this account or "
        "holds more than that one line; correct it.",
    ),
    NoReply.NO_GRANTING_SERVER: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The token server of the destination could not be reached or does not answer as one; check oauth_token_url, "
        "and oauth_ca if its certificate is of another authority.",
    ),
    NoReply.NOT_GRANTED: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The token server of the destination gives us no token; correct oauth_client_id, the secret in its file, or "
        "oauth_scope.",
    ),
    NoReply.GRANT_UNUSABLE: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "The token server of the destination answered with what is no bearer token; check oauth_token_url.",
    ),
    NoReply.BROKEN: NoReplyRule(
        Concerns.REQUEST,
        Verdict.TRY_AGAIN,
        "The connection ended before the destination had answered; what was sent is sent again.",
    ),
    NoReply.TOO_SLOW: NoReplyRule(
        Concerns.REQUEST,
        Verdict.TRY_AGAIN,
        "The destination did not answer in time; what was sent is sent again.",
    ),
    NoReply.INTERRUPTED: NoReplyRule(
        Concerns.DESTINATION,
        Verdict.TRY_AGAIN,
        "Sending was stopped before the destination answered; the instance is sent again.",
    ),
}
_UNREADABLE = (
    "The destination answered with what is no answer of STOW-RS in DICOM JSON; check url in its [[destinations]] entry."
)


@dataclass(frozen=True, slots=True)
class Whole:
    """What came of a whole request."""

    concerns: Concerns
    verdict: Verdict
    note: str
    wait_seconds: float = 0.0
    out_of_reach: bool = False
    went_out: bool = True

    def outcome(self, sop_instance_uid: str) -> SendOutcome:
        """The same of one instance."""
        return SendOutcome(
            sop_instance_uid,
            self.verdict,
            None,
            self.note,
            out_of_reach=self.out_of_reach,
            wait_seconds=self.wait_seconds,
            went_out=self.went_out,
        )


def http_rule(status: int) -> HttpRule:
    """The row that decides what a status means; every status has one."""
    return next(rule for rule in HTTP_RULES if rule.first <= status <= rule.last)


def failure_rule(reason: int) -> FailureRule:
    """The row that decides what a Failure Reason means; every reason has one."""
    return next(rule for rule in FAILURE_RULES if rule.first <= reason <= rule.last)


def without_reply(why: NoReply | NoAnswer) -> Whole:
    """What came of a request that was not answered; never *delivered*."""
    if isinstance(why, NoAnswer):
        return Whole(Concerns.DESTINATION, Verdict.TRY_AGAIN, no_answer_note(why), out_of_reach=True, went_out=False)
    rule = NO_REPLY_RULES[why]
    perhaps = why in (NoReply.BROKEN, NoReply.TOO_SLOW, NoReply.INTERRUPTED)
    away = why is not NoReply.INTERRUPTED
    return Whole(rule.concerns, rule.verdict, rule.note, out_of_reach=away, went_out=perhaps)


def read_reply(reply: Reply, sent: Sequence[str], now: datetime | None = None) -> tuple[Whole, dict[str, SendOutcome]]:
    """What an answer says of the whole request, and of each of the ``sent`` instances that its body names."""
    rule = http_rule(reply.status)
    wait = wait_seconds(reply.retry_after, now or datetime.now(UTC)) if rule.verdict is Verdict.TRY_AGAIN else 0.0
    away = rule.concerns is not Concerns.INSTANCE and rule.verdict is Verdict.TRY_AGAIN
    perhaps_stored = not (400 <= reply.status <= 499 or reply.status in _STORED_NOTHING)
    whole = Whole(rule.concerns, rule.verdict, rule.note, wait, away, went_out=perhaps_stored or not away)
    if rule.concerns is not Concerns.INSTANCE:
        return whole, {}
    found = data_sets(reply.body)
    if found is None or len(found) != 1:
        if reply.status == 409:
            return whole, {}
        return Whole(Concerns.DESTINATION, Verdict.TRY_AGAIN, _UNREADABLE, out_of_reach=True), {}
    return whole, _said(found[0], sent)


def _said(body: DataSet, sent: Sequence[str]) -> dict[str, SendOutcome]:
    """Of each instance that is named; that it failed counts more than that it was stored."""
    said: dict[str, SendOutcome] = {}
    for item in items(body, _REFERENCED):
        uid = text(item, _INSTANCE)
        if uid in sent:
            said[uid] = _stored(uid, number(item, _WARNING_REASON))
    for item in items(body, _FAILED):
        uid = text(item, _INSTANCE)
        if uid in sent:
            said[uid] = _failed(uid, number(item, _FAILURE_REASON))
    others = list(items(body, _OTHER_FAILURES))  # of what the server could not name
    if len(sent) == 1 and not said and len(others) == 1:
        said[sent[0]] = _failed(sent[0], number(others[0], _FAILURE_REASON))
    return said


def _stored(uid: str, warning: int | None) -> SendOutcome:
    """It stands among the stored ones; a warning of the class Bxxx (PS3.7 section C.1) is kept with it."""
    return outcome_of_status(uid, warning if warning is not None and 0xB000 <= warning <= 0xBFFF else 0x0000)


def _failed(uid: str, reason: int | None) -> SendOutcome:
    rule = failure_rule(0x0000 if reason is None else reason)
    return SendOutcome(uid, rule.verdict, reason, rule.note)


def wait_seconds(retry_after: str, now: datetime) -> float:
    """How long a Retry-After (RFC 9110 section 10.2.3) asks for; 0 where it cannot be read."""
    said = retry_after.strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), MOST_WAIT_SECONDS)
    try:
        until = parsedate_to_datetime(said)
        seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds.total_seconds(), 0.0), MOST_WAIT_SECONDS)
