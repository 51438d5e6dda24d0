"""One association of ours as the side that asks: how long it may take, what was accepted, what was answered."""

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from listener.scu.checkpoint import hold_answers
from listener.scu.settings import DestinationSettings
from listener.scu.tls import Dial
from listener.scu.verdict import NoAnswer, outcome_of_status, outcome_without_answer, reject_reason
from storage.domain.delivery import SendOutcome

_LOG = logging.getLogger(__name__)

# The file's data set goes out as it stands, without being decoded; our bytes are frozen and must stay so.
_config.STORE_SEND_CHUNKED_DATASET = True

_SLOWEST_BYTES_PER_SECOND = 50_000  # below this a link is taken for dead


class Sendable(Protocol):
    """An instance in a Part 10 file."""

    @property
    def sop_class_uid(self) -> str:
        """Its SOP Class."""
        ...

    @property
    def sop_instance_uid(self) -> str:
        """Its own UID."""
        ...

    @property
    def transfer_syntax_uid(self) -> str:
        """How the data set is written."""
        ...

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def size(self) -> int:
        """The bytes of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each step of sending may take, in seconds."""

    connect: float = 10.0
    associate: float = 30.0
    silence: float = 30.0  # on the socket, in either direction
    answer: float = 60.0  # to one C-STORE, beyond the time its size takes
    release: float = 5.0  # the verdicts are known by then
    total: float = 1800.0


def deadlines_of(destination: DestinationSettings) -> Deadlines:
    """As its settings say."""
    return Deadlines(
        connect=destination.connect_seconds,
        answer=destination.answer_seconds,
        total=destination.longest_transfer_seconds,
    )


class Line:
    """The connection under one association, cut when ``stopped`` says so or the total time is over.

    pynetdicom waits without end where a peer stops reading, or trickles; cutting the socket frees it.
    """

    def __init__(self, stopped: Callable[[], bool], deadlines: Deadlines) -> None:
        self.was_open = False
        self.tls_failure: NoAnswer | None = None
        self._answers: dict[int, tuple[int, str]] = {}  # status and SOP Instance UID, by the message they answer
        self._stopped = stopped
        self.deadlines = deadlines
        self._socket: socket.socket | None = None
        self._begun = time.monotonic()
        self._granted = 0.0
        self._done = threading.Event()
        self._settled = threading.Event()
        self._watch = threading.Thread(target=self._cut_when_due, name="delivery-line", daemon=True)

    def __enter__(self) -> "Line":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def opened(self, event: evt.Event) -> None:
        """Keep hold of the socket as soon as it is connected."""
        wrapped = event.assoc.dul.socket
        if wrapped is not None and wrapped.socket is not None:
            wrapped.socket.settimeout(self.deadlines.silence)
            # Else the end of each object waits for the acknowledgement of what went before it.
            wrapped.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = wrapped.socket
        self.was_open = True

    def sent(self, _: evt.Event) -> None:
        """Acknowledge what is answered at once: archives send an answer in two pieces, and wait between them."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def tls_failed(self, why: NoAnswer) -> None:
        """There is no association because of TLS."""
        self.tls_failure = why

    def begin(self, stopped: Callable[[], bool]) -> None:
        """From now on ``stopped`` counts, and the total time begins anew."""
        self._begun, self._granted = time.monotonic(), 0.0
        self._stopped = stopped

    def grant(self, seconds: float) -> None:
        """Add to the total time what is going to be waited for without any fault of the destination."""
        self._granted += seconds

    def settled(self) -> None:
        """The destination has answered the association request, or never will."""
        self._settled.set()

    def answered(self, event: evt.Event) -> None:
        """Note a C-STORE-RSP (PS3.7 section 9.3.1.2) under the message that it answers."""
        command: Dataset = event.message.command_set
        if command.get("CommandField") == 0x8001 and "Status" in command:
            instance = str(command.get("AffectedSOPInstanceUID", ""))
            self._answers[int(command.MessageIDBeingRespondedTo)] = (int(command.Status), instance)

    def status_of(self, message_id: int, sop_instance_uid: str) -> int | None:
        """The status given for this instance in answer to this message; a response need not repeat the UID."""
        status, instance = self._answers.get(message_id, (None, ""))
        return status if instance in ("", sop_instance_uid) else None

    def why_no_answer(self) -> NoAnswer:
        """Whether we stopped ourselves or the association broke."""
        return NoAnswer.INTERRUPTED if self._stopped() else NoAnswer.BROKEN

    def _cut_when_due(self) -> None:
        to_associate = self.deadlines.connect + self.deadlines.associate  # whatever trickles in meanwhile
        while not self._done.wait(0.2):
            allowed = self.deadlines.total if self._settled.is_set() else min(to_associate, self.deadlines.total)
            if self._stopped() or time.monotonic() > self._begun + allowed + self._granted:
                if self._socket is not None:
                    with contextlib.suppress(OSError):
                        # Not the method of an SSLSocket: until it is cut, that would let others send in the clear.
                        socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                return


def contexts_of(instances: Iterable[Sendable]) -> list[PresentationContext]:
    """One presentation context for each pair of SOP Class and transfer syntax that is sent, and no other."""
    pairs = dict.fromkeys((item.sop_class_uid, item.transfer_syntax_uid) for item in instances)
    return [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in pairs]


def associate(
    ae_title: str,
    destination: DestinationSettings,
    contexts: Sequence[PresentationContext],
    line: Line,
    handlers: Sequence[evt.EventHandlerType] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Association:
    """Ask the destination for an association, by TLS where its settings say so; whether it is established, it says.

    ``handlers`` are of events in it, such as what the destination asks us; ``roles`` those that we take in it beside
    that of the user (PS3.7 section D.3.3.4).

    Raises:
        OSError: the name of the host could not be resolved.
    """
    entity = AE(ae_title=ae_title)
    entity.connection_timeout = line.deadlines.connect
    entity.acse_timeout = line.deadlines.associate
    entity.dimse_timeout = line.deadlines.answer
    entity.network_timeout = None  # the reactor's idle timer would run while a slow peer still thinks
    try:
        association = entity.associate(
            destination.host,
            destination.port,
            contexts=list(contexts),
            ae_title=destination.ae_title,
            ext_neg=list(roles),
            tls_args=_tls(destination, line),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, line.opened),
                (evt.EVT_DATA_SENT, line.sent),
                (evt.EVT_DIMSE_RECV, line.answered),
                *handlers,
            ],
        )
    except UnicodeError as error:  # what can be no name, such as one with two dots in a row
        raise OSError("the name of the host could not be resolved") from error
    line.settled()
    if association.is_established:
        hold_answers(association)
    return association


def _tls(destination: DestinationSettings, line: Line) -> tuple[ssl.SSLContext, str] | None:
    if not destination.tls:
        return None
    dial = Dial(destination, line.tls_failed)
    return cast(ssl.SSLContext, dial), destination.tls_server_name or destination.host


def is_accepted(association: Association, item: Sendable) -> bool:
    """Whether the destination takes this SOP Class in this transfer syntax."""
    return any(
        context.abstract_syntax == item.sop_class_uid and context.transfer_syntax[0] == item.transfer_syntax_uid
        for context in association.accepted_contexts
    )


def store(association: Association, message_id: int, item: Sendable, line: Line) -> SendOutcome:
    """One C-STORE; *delivered* only with a status from the destination."""
    association.dimse_timeout = line.deadlines.answer + item.size / _SLOWEST_BYTES_PER_SECOND
    try:
        association.send_c_store(item.path, msg_id=message_id)
    except RuntimeError:  # the association is no longer established
        return outcome_without_answer(item.sop_instance_uid, line.why_no_answer())
    status = line.status_of(message_id, item.sop_instance_uid)
    if status is None:
        _LOG.info("No answer from the destination for instance %s.", item.sop_instance_uid)
        association.abort()  # an answer to another message must not be taken for this one's
        return outcome_without_answer(item.sop_instance_uid, line.why_no_answer())
    return outcome_of_status(item.sop_instance_uid, status)


def why_not_established(association: Association, line: Line) -> NoAnswer:
    """Why there is no association."""
    if line.tls_failure is not None:
        return line.tls_failure
    if not line.was_open:
        return NoAnswer.UNREACHABLE
    answer = association.acceptor.primitive
    if not isinstance(answer, A_ASSOCIATE):
        return NoAnswer.NO_ASSOCIATION
    if answer.result == 0x00:
        return NoAnswer.NOT_ACCEPTED if not association.accepted_contexts else NoAnswer.BROKEN
    return reject_reason(answer.result or 0, answer.result_source or 0, answer.diagnostic or 0)


def release(association: Association, line: Line) -> None:
    """End politely; whatever the peer makes of it, what was answered stands."""
    association.acse_timeout = line.deadlines.release
    association.release()
