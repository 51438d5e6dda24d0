"""Messages as FHIR R4: one DiagnosticReport, created at most once.

By a conditional create (If-None-Exist with the UID of the report), or under an id of our choosing; so a try whose
answer was lost leaves no second one.
"""

import json
import uuid
from collections.abc import Callable
from urllib.parse import urlencode

from listener.notify.answers import HTTP_RULES, HttpRule, of_reply, of_silence
from listener.notify.fhir_report import diagnostic_report, identifier_of
from listener.notify.settings import NotifySettings
from listener.notify.webhook import deadlines_of
from listener.scu.web.access import Caller, access_to
from listener.scu.web.line import NoReply, Reply, Unanswered, WebLine
from storage.domain.notification import Answer, NotificationEvent, NotificationRequest

_MEDIA_TYPE = "application/fhir+json"
_MOST_ANSWER_BYTES = 1 << 24  # some repeat the whole resource, whatever is preferred

# Before the rules for whatever is over the web; they stand in docs/reference/notifications.md, too.
FHIR_RULES: tuple[HttpRule, ...] = (
    HttpRule(200, 201, NotificationEvent.DELIVER, False, "The receiver has it."),
    HttpRule(
        202,
        299,
        NotificationEvent.POSTPONE,
        True,
        "The receiver answered with a 2xx that creating in FHIR does not have; check url in its [[notify]] entry.",
    ),
    HttpRule(409, 409, NotificationEvent.POSTPONE, False, "The receiver is changing the same resource (409)."),
    HttpRule(
        412,
        412,
        NotificationEvent.REFUSE,
        False,
        "The receiver has several resources under the identifier of the report (412); remove all but one there.",
    ),
)
_NOT_FHIR = Answer(
    NotificationEvent.POSTPONE,
    "not-fhir",
    "The receiver answered with what is no FHIR resource in JSON; check url in its [[notify]] entry.",
    away=True,
)

# The codes of http://hl7.org/fhir/R4/valueset-issue-type.html: of what a server says of an issue these alone are told,
# because its text may name a patient.
ISSUE_TYPES = frozenset(
    (
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    )
)


class FhirSender:
    """Our side of one FHIR server."""

    def __init__(self, place: NotifySettings) -> None:
        self._place = place
        self._access = access_to(place)  # it may keep a token

    def body(self, request: NotificationRequest) -> bytes:
        """The resource; made once."""
        resource_id = _resource_id(request) if self._place.fhir_write == "update" else ""
        report = diagnostic_report(request, patient_system=self._place.patient_system, resource_id=resource_id)
        return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()

    def send(self, request: NotificationRequest, body: bytes, stopped: Callable[[], bool]) -> Answer:
        """Send it and say what came of it."""
        method, url = "POST", f"{self._place.url.rstrip('/')}/DiagnosticReport"
        headers = {"Content-Type": _MEDIA_TYPE, "Content-Length": str(len(body)), "Accept": _MEDIA_TYPE}
        headers["Prefer"] = "return=minimal"
        identifier = identifier_of(request.result)
        if self._place.fhir_write == "update":
            method, url = "PUT", f"{url}/{_resource_id(request)}"
        elif identifier:
            headers["If-None-Exist"] = urlencode({"identifier": identifier})
        try:
            with WebLine(stopped, self._place, deadlines_of(self._place)) as line:
                caller = Caller(line, self._access)
                return of_fhir_reply(caller.ask(method, url, headers, lambda: (body,), len(body), _MOST_ANSWER_BYTES))
        except Unanswered as unanswered:
            return of_silence(unanswered.why)
        except OSError:
            return of_silence(NoReply.BROKEN)


def of_fhir_reply(reply: Reply) -> Answer:
    """What an answer of a FHIR server means; of an OperationOutcome the types of its issues are told."""
    answer = of_reply(reply, (*FHIR_RULES, *HTTP_RULES))
    kind, issues = _read(reply.body)
    if answer.event is NotificationEvent.DELIVER:
        return answer if kind in ("", "DiagnosticReport", "OperationOutcome") else _NOT_FHIR
    if not issues:
        return answer
    return answer._replace(sentence=f"{answer.sentence} It says: {', '.join(issues)}.")


def _read(body: bytes | None) -> tuple[str, list[str]]:
    """Which resource it is, empty where there is no body, and the types of its issues that FHIR has."""
    if not body:
        return ("" if body == b"" else "too long"), []
    try:
        found = json.loads(body)
        kind = str(found["resourceType"])
        said = {str(issue["code"]) for issue in found["issue"]} if kind == "OperationOutcome" else set()
    except (ValueError, RecursionError, TypeError, KeyError, IndexError):
        return "unreadable", []
    return kind, sorted(said & ISSUE_TYPES)


def _resource_id(request: NotificationRequest) -> str:
    return str(uuid.UUID(hex=request.message_id))
