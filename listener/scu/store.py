"""Send frozen evidence to a destination over one association (C-STORE as SCU, PS3.4 annex B)."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context

from listener.scu.alternatives import send_best, unneeded
from listener.scu.checkpoint import hold_answers
from listener.scu.verdict import NoAnswer, outcome_of_status, outcome_without_answer, reject_reason
from listener.settings import DestinationSettings
from storage.domain.delivery import SendOutcome
from storage.domain.result import DELIVERY_ORDER, FrozenEvidence
from storage.domain.viewer_profile import PROFILES, Choice, choices

_LOG = logging.getLogger(__name__)

# The file's data set goes out as it stands, without being decoded; our bytes are frozen and must stay so.
_config.STORE_SEND_CHUNKED_DATASET = True

_SLOWEST_BYTES_PER_SECOND = 50_000  # below this a link is taken for dead


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each step of sending may take, in seconds."""

    connect: float = 10.0
    associate: float = 30.0
    silence: float = 30.0  # on the socket, in either direction
    answer: float = 60.0  # to one C-STORE, beyond the time its size takes
    release: float = 5.0  # the verdicts are known by then
    total: float = 1800.0


class StoreScu:
    """Our side of C-STORE as SCU; one association at a time."""

    def __init__(self, ae_title: str, deadlines: Deadlines | None = None) -> None:
        self._ae_title = ae_title
        self._deadlines = deadlines or Deadlines()

    def send(
        self,
        destination: DestinationSettings,
        evidence: Sequence[FrozenEvidence],
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[SendOutcome, ...]:
        """Send each thing in one form over one association and say what came of each instance.

        All forms that the destination's profile shows are proposed; the first that it accepts is sent. Segmentations
        go before reports, so that a report's references are there when it arrives. Once ``stopped`` says so the
        association is cut, and what has no answer yet is to be tried again. Nothing is *delivered* without a status
        from the destination, and the release of the association plays no part in it.
        """
        wanted, unwanted = choices(PROFILES[destination.profile], evidence)
        not_shown = unneeded(unwanted, f"The profile {destination.profile} of the destination does not show this form.")
        ordered = sorted(wanted, key=lambda choice: min(DELIVERY_ORDER[one.role] for one in choice.instances()))
        return (*self._send(destination, ordered, stopped), *not_shown) if ordered else not_shown

    def _send(
        self, destination: DestinationSettings, ordered: Sequence[Choice], stopped: Callable[[], bool]
    ) -> tuple[SendOutcome, ...]:
        instances = [one for choice in ordered for one in choice.instances()]
        if stopped():
            return _all_without_answer(instances, NoAnswer.INTERRUPTED)
        with _Line(stopped, self._deadlines) as line:
            try:
                association = self._associate(destination, instances, line)
            except OSError:  # the name of the host could not be resolved
                return _all_without_answer(instances, NoAnswer.UNREACHABLE)
            if not association.is_established:
                why = NoAnswer.INTERRUPTED if stopped() else _why_not_established(association, line)
                return _all_without_answer(instances, why)
            hold_answers(association)
            numbers = {one.sop_instance_uid: number for number, one in enumerate(instances, start=1)}
            outcomes = tuple(
                outcome
                for choice in ordered
                for outcome in send_best(
                    choice,
                    lambda one: _obstacle(association, destination, one),
                    lambda one: self._store(association, numbers[one.sop_instance_uid], one, line),
                )
            )
            _release(association, self._deadlines.release)
            return outcomes

    def _associate(
        self, destination: DestinationSettings, evidence: Sequence[FrozenEvidence], line: "_Line"
    ) -> Association:
        entity = AE(ae_title=self._ae_title)
        entity.connection_timeout = self._deadlines.connect
        entity.acse_timeout = self._deadlines.associate
        entity.dimse_timeout = self._deadlines.answer
        entity.network_timeout = None  # the reactor's idle timer would run while a slow peer still thinks
        return entity.associate(
            destination.host,
            destination.port,
            contexts=_contexts(evidence),
            ae_title=destination.ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, line.opened), (evt.EVT_DIMSE_RECV, line.answered)],
        )

    def _store(self, association: Association, message_id: int, item: FrozenEvidence, line: "_Line") -> SendOutcome:
        association.dimse_timeout = self._deadlines.answer + item.size / _SLOWEST_BYTES_PER_SECOND
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


class _Line:
    """The connection under one association, cut when ``stopped`` says so or the total time is over.

    pynetdicom waits without end where a peer stops reading, or trickles; cutting the socket frees it.
    """

    def __init__(self, stopped: Callable[[], bool], deadlines: Deadlines) -> None:
        self.was_open = False
        self._answers: dict[int, tuple[int, str]] = {}  # status and SOP Instance UID, by the message they answer
        self._stopped = stopped
        self._deadlines = deadlines
        self._socket: socket.socket | None = None
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._cut_when_due, name="delivery-line", daemon=True)

    def __enter__(self) -> "_Line":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def opened(self, event: evt.Event) -> None:
        """Keep hold of the socket as soon as it is connected."""
        wrapped = event.assoc.dul.socket
        if wrapped is not None and wrapped.socket is not None:
            wrapped.socket.settimeout(self._deadlines.silence)
            self._socket = wrapped.socket
        self.was_open = True

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
        deadline = time.monotonic() + self._deadlines.total
        while not self._done.wait(0.2):
            if self._stopped() or time.monotonic() > deadline:
                if self._socket is not None:
                    with contextlib.suppress(OSError):
                        self._socket.shutdown(socket.SHUT_RDWR)
                return


def _contexts(evidence: Sequence[FrozenEvidence]) -> list[PresentationContext]:
    """One presentation context for each pair of SOP Class and transfer syntax that is sent, and no other."""
    pairs = dict.fromkeys((item.sop_class_uid, item.transfer_syntax_uid) for item in evidence)
    return [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in pairs]


def _obstacle(association: Association, destination: DestinationSettings, item: FrozenEvidence) -> SendOutcome | None:
    """Why this instance cannot be sent at all on this association; ``None`` where it can."""
    if not association.is_established:
        return None  # nothing is known of the next one: storing says what happened
    if 0 < destination.max_instance_bytes < item.size:
        return outcome_without_answer(item.sop_instance_uid, NoAnswer.TOO_LARGE)
    if item.transfer_syntax_uid not in PROFILES[destination.profile].transfer_syntaxes:
        return outcome_without_answer(item.sop_instance_uid, NoAnswer.TRANSFER_SYNTAX_NOT_SHOWN)
    if not _is_accepted(association, item):
        return outcome_without_answer(item.sop_instance_uid, NoAnswer.NOT_ACCEPTED)
    return None


def _is_accepted(association: Association, item: FrozenEvidence) -> bool:
    return any(
        context.abstract_syntax == item.sop_class_uid and context.transfer_syntax[0] == item.transfer_syntax_uid
        for context in association.accepted_contexts
    )


def _why_not_established(association: Association, line: _Line) -> NoAnswer:
    if not line.was_open:
        return NoAnswer.UNREACHABLE
    answer = association.acceptor.primitive
    if not isinstance(answer, A_ASSOCIATE):
        return NoAnswer.NO_ASSOCIATION
    if answer.result == 0x00:
        return NoAnswer.NOT_ACCEPTED if not association.accepted_contexts else NoAnswer.BROKEN
    return reject_reason(answer.result or 0, answer.result_source or 0, answer.diagnostic or 0)


def _all_without_answer(evidence: Sequence[FrozenEvidence], why: NoAnswer) -> tuple[SendOutcome, ...]:
    return tuple(outcome_without_answer(item.sop_instance_uid, why) for item in evidence)


def _release(association: Association, seconds: float) -> None:
    """End politely; whatever the peer makes of it, the verdicts stand."""
    association.acse_timeout = seconds
    association.release()
