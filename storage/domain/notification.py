"""Notifications: what other systems than a PACS are told of a result, and how far each message has come.

The table of transitions stands in ``docs/reference/notifications.md`` too; a test holds the two equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from storage.errors import InvalidTransition


class NotificationState(StrEnum):
    """How far one message to one receiver has come."""

    HELD = "held"  # the report is not in the PACS yet
    WAITING = "waiting"  # it is to be sent, now or after a pause
    SENDING = "sending"  # it is in the hands of a process, or was when that died
    DELIVERED = "delivered"  # the receiver said that it took it
    REFUSED = "refused"  # the receiver does not want it; an operator decides
    GIVEN_UP = "given-up"  # it was tried too long, or its receiver is configured no more; an operator decides


class NotificationEvent(StrEnum):
    """What can happen to a message."""

    RELEASE = "release"  # the report has arrived
    SEND = "send"  # a process takes it, also from one that died
    DELIVER = "deliver"
    POSTPONE = "postpone"  # no answer, or one that asks for patience
    REFUSE = "refuse"
    GIVE_UP = "give-up"
    RETRY = "retry"  # an operator wants it sent


TRANSITIONS: dict[tuple[NotificationState, NotificationEvent], NotificationState] = {
    (NotificationState.HELD, NotificationEvent.RELEASE): NotificationState.WAITING,
    (NotificationState.HELD, NotificationEvent.GIVE_UP): NotificationState.GIVEN_UP,
    (NotificationState.WAITING, NotificationEvent.SEND): NotificationState.SENDING,
    (NotificationState.WAITING, NotificationEvent.GIVE_UP): NotificationState.GIVEN_UP,
    (NotificationState.SENDING, NotificationEvent.SEND): NotificationState.SENDING,
    (NotificationState.SENDING, NotificationEvent.DELIVER): NotificationState.DELIVERED,
    (NotificationState.SENDING, NotificationEvent.POSTPONE): NotificationState.WAITING,
    (NotificationState.SENDING, NotificationEvent.REFUSE): NotificationState.REFUSED,
    (NotificationState.SENDING, NotificationEvent.GIVE_UP): NotificationState.GIVEN_UP,
    (NotificationState.REFUSED, NotificationEvent.RETRY): NotificationState.WAITING,
    (NotificationState.GIVEN_UP, NotificationEvent.RETRY): NotificationState.WAITING,
}

UNDECIDED = frozenset({NotificationState.HELD, NotificationState.WAITING, NotificationState.SENDING})
ENDED_BADLY = frozenset({NotificationState.REFUSED, NotificationState.GIVEN_UP})


def next_notification_state(state: NotificationState, event: NotificationEvent) -> NotificationState:
    """The state that follows ``event`` in ``state``.

    Raises:
        InvalidTransition: the table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(f"A notification that is {state} does not accept {event}.") from None


class ReceiverKind(StrEnum):
    """How a receiver is told."""

    WEBHOOK = "webhook"  # JSON over HTTPS, signed as Standard Webhooks says
    HL7 = "hl7"  # HL7 v2.5.1 ORU^R01 over MLLP
    FHIR = "fhir"  # FHIR R4 DiagnosticReport


@dataclass(frozen=True, slots=True)
class ReceiverPolicy:
    """Which results a receiver is told of, when, and for how long it is tried.

    ``algorithms`` are names, none for all. ``findings_only`` leaves out results that found nothing. With ``held`` a
    message waits until a destination has acknowledged the report: the one of the name ``report_at``, or any if empty.
    """

    name: str
    algorithms: tuple[str, ...] = ()
    findings_only: bool = False
    held: bool = True
    report_at: str = ""
    give_up_hours: float = 72.0


class ReportReference(NamedTuple):
    """A report of a result, as a message refers to it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class ToldResult:
    """What a message may say; which of it a message says is a matter of its kind.

    ``patient_id``, ``issuer_of_patient_id`` and ``accession_number`` are the patient's. ``findings`` are as stored:
    ``storage.domain.finding.Finding`` as a mapping. ``report`` is the one that arrived, or the first.
    """

    result_id: int
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    algorithm_name: str
    algorithm_version: str
    artifact_sha256: str
    manifest_sha256: str
    findings: tuple[Mapping[str, Any], ...]
    stored_at: datetime
    report: ReportReference | None
    predecessor: ReportReference | None

    @property
    def found(self) -> tuple[Mapping[str, Any], ...]:
        """What is there of what was looked for."""
        return tuple(one for one in self.findings if is_found(one))


@dataclass(frozen=True, slots=True)
class NotificationRequest:
    """A message to be sent now.

    ``claim_uid`` fences what becomes of it. ``message_id`` and ``body`` are the same at each try; ``body`` is ``None``
    until it was made. ``now`` is the database's clock; ``noted_at`` is when it became known that this is to be told.
    """

    notification_id: int
    claim_uid: str
    message_id: str
    body: bytes | None
    tries: int
    now: datetime
    noted_at: datetime
    result: ToldResult


class Answer(NamedTuple):
    """What came of sending a message.

    ``event`` is DELIVER, POSTPONE or REFUSE. ``code`` and ``sentence`` never repeat what the receiver sent. With
    ``away`` the receiver itself could not be had, whatever was sent. ``wait_seconds`` is how long it asked for.
    """

    event: NotificationEvent
    code: str
    sentence: str
    away: bool = False
    wait_seconds: float = 0.0


def is_found(finding: Mapping[str, Any]) -> bool:
    """Whether the thing is there: a class that was looked for and not found is in a result, too."""
    classification = finding.get("classification")
    return classification is None or bool(classification["present"])


def has_certainty(finding: Mapping[str, Any]) -> bool:
    """Not of a class of which a detection has no box at all: nothing is known of its probability."""
    detection = finding.get("detection")
    return finding.get("classification") is not None and (detection is None or detection["candidates"] > 0)


_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 600.0


def pause_seconds(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row; ``jitter`` in [0, 1) shortens it by up to a half."""
    grown = _FIRST_PAUSE_SECONDS * 2.0 ** min(max(failures - 1, 0), 30)
    return float(min(grown, _LONGEST_PAUSE_SECONDS) * (1 - jitter / 2))
