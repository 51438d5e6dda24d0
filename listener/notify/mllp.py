"""One message over MLLP (HL7 v2.5.1 appendix C), and its one acknowledgement, each within bounds."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from listener.notify.answers import of_receiver
from listener.notify.settings import NotifySettings
from listener.scu.tls import TlsFilesUnusable, client_context, why_tls_failed
from listener.scu.verdict import NoAnswer, no_answer_note
from storage.domain.notification import Answer, NotificationEvent

_START, _END = b"\x0b", b"\x1c\r"
_MOST_BYTES = 1 << 16
_LOOK_SECONDS = 0.2
_DELIVER, _POSTPONE, _REFUSE = NotificationEvent.DELIVER, NotificationEvent.POSTPONE, NotificationEvent.REFUSE


class Outcome(StrEnum):
    """What came of sending a message."""

    ACCEPTED = "accepted"  # MSA-1 is AA or CA
    ERROR = "error"  # AE or CE
    REJECTED = "rejected"  # AR or CR
    UNKNOWN_CODE = "unknown-code"
    OF_ANOTHER = "of-another"  # MSA-2 is not the control id that was sent
    UNREADABLE = "unreadable"
    TOO_LONG = "too-long"
    TOO_SLOW = "too-slow"
    BROKEN = "broken"
    UNREACHABLE = "unreachable"
    UNKNOWN_HOST = "unknown-host"
    INTERRUPTED = "interrupted"


class Rule(NamedTuple):
    """What an outcome means for the message; ``away``: so it is for other messages, too."""

    event: NotificationEvent
    away: bool
    sentence: str


# They stand in docs/reference/notifications.md, too; a test holds the two equal.
RULES: dict[Outcome, Rule] = {
    Outcome.ACCEPTED: Rule(_DELIVER, False, "The receiver took it (AA or CA)."),
    Outcome.ERROR: Rule(
        _POSTPONE, False, "The receiver could not process the message (AE or CE); look into its log, it is sent again."
    ),
    Outcome.REJECTED: Rule(
        _REFUSE,
        False,
        "The receiver rejected the message (AR or CR); look into its log for why, then have it sent again.",
    ),
    Outcome.UNKNOWN_CODE: Rule(
        _POSTPONE, True, "The receiver answered with a code that HL7 does not have; ask its vendor why."
    ),
    Outcome.OF_ANOTHER: Rule(
        _POSTPONE, True, "The receiver acknowledged another message than the one that was sent; ask its vendor why."
    ),
    Outcome.UNREADABLE: Rule(
        _POSTPONE,
        True,
        "The receiver answered with what is no acknowledgement in a frame of MLLP; check host and port in its "
        "[[notify]] entry.",
    ),
    Outcome.TOO_LONG: Rule(
        _POSTPONE,
        True,
        "The receiver answered with more than 64 KiB, which no acknowledgement has; check host and port in its "
        "[[notify]] entry.",
    ),
    Outcome.TOO_SLOW: Rule(_POSTPONE, True, "The receiver did not acknowledge in time; the message is sent again."),
    Outcome.BROKEN: Rule(
        _POSTPONE, True, "The connection ended before the receiver had acknowledged; the message is sent again."
    ),
    Outcome.UNREACHABLE: Rule(
        _POSTPONE,
        True,
        "The receiver could not be reached; check that it runs and listens at host and port of its [[notify]] entry, "
        "and that no firewall is between.",
    ),
    Outcome.UNKNOWN_HOST: Rule(
        _POSTPONE,
        True,
        "No machine has the name in host of the [[notify]] entry; correct it, or the name service.",
    ),
    Outcome.INTERRUPTED: Rule(_POSTPONE, False, "Sending was stopped; the message is sent again."),
}

_CODES = {
    "AA": Outcome.ACCEPTED,
    "CA": Outcome.ACCEPTED,
    "AE": Outcome.ERROR,
    "CE": Outcome.ERROR,
    "AR": Outcome.REJECTED,
    "CR": Outcome.REJECTED,
}


def exchange(place: NotifySettings, message: bytes, message_id: str, stopped: Callable[[], bool]) -> Answer:
    """Send the message over a connection of its own and say what came of it."""

    def talk(connection: socket.socket) -> Outcome:
        _say(connection, message, place.answer_seconds)
        return _acknowledged(connection, place.answer_seconds, message_id, stopped)

    return _over_a_connection(place, talk)


def say_nothing(place: NotifySettings) -> Answer:
    """Connect, by TLS where that is asked for, and hang up again."""
    answer = _over_a_connection(place, lambda _: Outcome.ACCEPTED)
    if answer.event is not _DELIVER:
        return answer
    return answer._replace(code="mllp-connected", sentence="Something listens there; no message was sent.")


def _over_a_connection(place: NotifySettings, talk: Callable[[socket.socket], Outcome]) -> Answer:
    try:
        with contextlib.closing(_connected(place)) as connection:
            outcome = talk(connection)
    except TlsFilesUnusable as unusable:
        return _of_tls(unusable.why)
    except _TlsFailed as failed:
        return _of_tls(failed.why)
    except (socket.gaierror, UnicodeError):
        outcome = Outcome.UNKNOWN_HOST
    except _NotConnected:
        outcome = Outcome.UNREACHABLE
    except TimeoutError:
        outcome = Outcome.TOO_SLOW
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):  # under TLS 1.3 what it thinks of our certificate comes only now
            return _of_tls(why_tls_failed(error))
        outcome = Outcome.BROKEN
    except OSError:
        outcome = Outcome.BROKEN
    return answer_of(outcome)


def answer_of(outcome: Outcome) -> Answer:
    """What an outcome means."""
    rule = RULES[outcome]
    return Answer(rule.event, f"mllp-{outcome}", rule.sentence, rule.away)


def read_acknowledgement(content: bytes, message_id: str) -> Outcome:
    """What an acknowledgement says, without the frame; nothing of it is repeated anywhere."""
    segments = content.decode("utf-8", "replace").replace("\n", "\r").split("\r")
    header = segments[0]
    if not header.startswith("MSH") or len(header) < 4:
        return Outcome.UNREADABLE
    separator = header[3]
    fields = next((one.split(separator) for one in segments if one.startswith(f"MSA{separator}")), [])
    if len(fields) < 3:
        return Outcome.UNREADABLE
    if fields[2].strip() != message_id:
        return Outcome.OF_ANOTHER
    return _CODES.get(fields[1].strip(), Outcome.UNKNOWN_CODE)


class _NotConnected(Exception):
    pass


class _TlsFailed(Exception):
    def __init__(self, why: NoAnswer) -> None:
        super().__init__(str(why))
        self.why = why


def _connected(place: NotifySettings) -> socket.socket:
    context = client_context(place) if place.tls else None
    try:
        plain = socket.create_connection((place.host, place.port), place.connect_seconds)
    except (socket.gaierror, UnicodeError):
        raise
    except OSError:
        raise _NotConnected from None
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=place.tls_server_name or place.host)
    except (OSError, ValueError) as error:
        plain.close()
        if isinstance(error, TimeoutError):
            raise
        raise _TlsFailed(why_tls_failed(error)) from None


def _say(connection: socket.socket, message: bytes, seconds: float) -> None:
    connection.settimeout(seconds)
    try:
        connection.sendall(_START + message + _END)
    except TimeoutError:
        raise
    except OSError:
        connection.recv(1)  # who hung up may have said why: then this raises the alert of TLS
        raise


def _acknowledged(connection: socket.socket, seconds: float, message_id: str, stopped: Callable[[], bool]) -> Outcome:
    """Read one frame, until its end, its deadline or its bound."""
    over_at, content = time.monotonic() + seconds, bytearray()
    connection.settimeout(_LOOK_SECONDS)
    while _END not in content:
        if stopped():
            return Outcome.INTERRUPTED
        if time.monotonic() >= over_at:
            return Outcome.TOO_SLOW
        if len(content) > _MOST_BYTES:
            return Outcome.TOO_LONG
        try:
            piece = connection.recv(4096)
        except TimeoutError:
            continue
        if not piece:
            return Outcome.UNREADABLE if content else Outcome.BROKEN
        content += piece
        if not content.startswith(_START):
            return Outcome.UNREADABLE
    return read_acknowledgement(bytes(content[1 : content.index(_END)]), message_id)


def _of_tls(why: NoAnswer) -> Answer:
    return Answer(_POSTPONE, str(why), of_receiver(no_answer_note(why)), away=True)
