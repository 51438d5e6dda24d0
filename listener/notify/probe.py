"""Whether a receiver can be had, without telling it of any result."""

import contextlib
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from listener.notify.answers import of_reply, of_silence
from listener.notify.mllp import say_nothing
from listener.notify.settings import NotifySettings
from listener.notify.webhook import deadlines_of, post
from listener.scu.web.access import Caller, access_to
from listener.scu.web.line import Unanswered, WebLine
from storage.domain.notification import Answer, NotificationEvent, ReceiverKind

_MOST_ANSWER_BYTES = 1 << 24  # capability statements are long
_NO_FHIR = Answer(
    NotificationEvent.POSTPONE,
    "no-capability-statement",
    "What answers at url has no FHIR CapabilityStatement at /metadata; check url in its [[notify]] entry.",
)


def probe(place: NotifySettings) -> Answer:
    """Try it once; DELIVER where it can be told of results, as far as that shows without telling."""
    return _PROBES[ReceiverKind(place.kind)](place)


def _webhook(place: NotifySettings) -> Answer:
    """A signed message of a type of its own, which a receiver passes over as any that it does not know."""
    body = {"type": "probe", "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "data": {}}
    message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
    return post(place, access_to(place), message_id, now, json.dumps(body).encode(), lambda: False)


def _fhir(place: NotifySettings) -> Answer:
    try:
        with WebLine(lambda: False, place, deadlines_of(place)) as line:
            headers = {"Accept": "application/fhir+json"}
            url = f"{place.url.rstrip('/')}/metadata"
            reply = Caller(line, access_to(place)).ask("GET", url, headers, most_bytes=_MOST_ANSWER_BYTES)
    except Unanswered as unanswered:
        return of_silence(unanswered.why)
    answer = of_reply(reply)
    if answer.event is not NotificationEvent.DELIVER:
        return answer
    with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError):
        if json.loads(reply.body or b"")["resourceType"] == "CapabilityStatement":
            return answer
    return _NO_FHIR


_PROBES: Mapping[ReceiverKind, Callable[[NotifySettings], Answer]] = {
    ReceiverKind.WEBHOOK: _webhook,
    ReceiverKind.HL7: say_nothing,  # HL7 has no message that means nothing
    ReceiverKind.FHIR: _fhir,
}
