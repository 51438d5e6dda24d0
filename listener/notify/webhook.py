"""A message as JSON over HTTP, signed as Standard Webhooks says (https://www.standardwebhooks.com).

Its body names no patient: UIDs, the algorithm and counts. The signature is over the id, the time of the try and the
body; the id and the body are the same at each try, so that a receiver can drop what it has already.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from listener.notify.answers import of_reply, of_silence
from listener.notify.settings import NotifySettings
from listener.scu.web.access import Access, Caller, access_to, read_secret
from listener.scu.web.line import NoReply, Unanswered, WebDeadlines, WebLine
from storage.domain.notification import Answer, NotificationEvent, NotificationRequest, ReportReference

_MOST_ANSWER_BYTES = 1 << 16  # nobody reads it
_SECRET_BYTES = range(24, 65)
SECRET_UNUSABLE = Answer(
    NotificationEvent.POSTPONE,
    "secret-unusable",
    "The file of secret_file in the [[notify]] entry holds no secret that this account can read: whsec_ and 24 to 64 "
    "bytes in base64, on one line; correct it.",
    away=True,
)


class WebhookSender:
    """Our side of one webhook."""

    def __init__(self, place: NotifySettings) -> None:
        self._place = place
        self._access = access_to(place)  # it may keep a token

    def body(self, request: NotificationRequest) -> bytes:
        """What is sent; made once."""
        told = body_of(request, with_accession_number=self._place.accession_number)
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()

    def send(self, request: NotificationRequest, body: bytes, stopped: Callable[[], bool]) -> Answer:
        """Send it and say what came of it."""
        return post(self._place, self._access, f"msg_{request.message_id}", request.now, body, stopped)


def post(
    place: NotifySettings, access: Access, message_id: str, now: datetime, body: bytes, stopped: Callable[[], bool]
) -> Answer:
    """Send signed bytes and say what came of it; nothing goes out unsigned."""
    timestamp = int(now.timestamp())
    try:
        secrets = secrets_in(read_secret(place.secret_file))
    except (Unanswered, ValueError):
        return SECRET_UNUSABLE
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secrets, message_id, timestamp, body),
    }
    try:
        with WebLine(stopped, place, deadlines_of(place)) as line:
            caller = Caller(line, access)
            return of_reply(caller.ask("POST", place.url, headers, lambda: (body,), len(body), _MOST_ANSWER_BYTES))
    except Unanswered as unanswered:
        return of_silence(unanswered.why)
    except OSError:
        return of_silence(NoReply.BROKEN)


def has_a_secret(place: NotifySettings) -> bool:
    """Whether this account can read a secret in the file that the settings name."""
    try:
        return bool(secrets_in(read_secret(place.secret_file)))
    except (Unanswered, ValueError):
        return False


def body_of(request: NotificationRequest, *, with_accession_number: bool) -> Mapping[str, Any]:
    """The message in the order in which it is read; see ``docs/reference/notifications.md``."""
    told = request.result
    study: dict[str, Any] = {"study_instance_uid": told.study_instance_uid}
    if with_accession_number:
        study["accession_number"] = told.accession_number
    return {
        "type": "result.created" if told.predecessor is None else "result.replaced",
        "timestamp": _time(told.stored_at),
        "data": {
            **study,
            "series_instance_uid": told.series_instance_uid,
            "revision": told.revision,
            "algorithm": {
                "name": told.algorithm_name,
                "version": told.algorithm_version,
                "artifact_sha256": told.artifact_sha256,
                "manifest_sha256": told.manifest_sha256,
            },
            "findings": len(told.found),
            "report": _reference(told.report),
            "replaces": _reference(told.predecessor),
            "notice": "AI result, not verified. Research use only.",
        },
    }


def secrets_in(text: str) -> tuple[bytes, ...]:
    """The keys in a line of one or two secrets.

    Raises:
        ValueError: it holds none, or something else.
    """
    keys = []
    for word in text.split(" "):
        if not word.startswith("whsec_"):
            raise ValueError("a secret begins with whsec_")
        try:
            key = base64.b64decode(word.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise ValueError("a secret is written in base64") from None
        if len(key) not in _SECRET_BYTES:
            raise ValueError("a secret has 24 to 64 bytes")
        keys.append(key)
    return tuple(keys)


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of webhook-signature: one signature for each secret, with a blank between."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    each = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(one).decode('ascii')}" for one in each)


def deadlines_of(place: NotifySettings) -> WebDeadlines:
    """As the settings say; nothing about one message takes longer than ten minutes."""
    each = place.connect_seconds + place.answer_seconds
    return WebDeadlines(place.connect_seconds, place.answer_seconds, place.answer_seconds, min(4 * each, 540.0))


def _reference(report: ReportReference | None) -> Mapping[str, str] | None:
    return None if report is None else report._asdict()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
