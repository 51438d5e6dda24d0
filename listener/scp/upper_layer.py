"""One association on one connection, from the connection to its close: the state table decides, this acts."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from listener.scp.limits import (
    CLOSE_DEADLINE,
    IDLE_DEADLINE,
    MAXIMUM_PDU,
    MIB,
    PDU_SLACK,
    REQUEST_DEADLINE,
    REQUEST_PDU,
)
from listener.scp.negotiation import AssociateRequest, read_request
from listener.scp.pdu import RELEASE_RP, AbortReason, PduType, abort_by_provider, abort_by_user
from listener.scp.pdu_reader import InvalidPdu, PduReader, PeerTooSlow
from listener.scp.state_table import Action, Event, State, StateMachine
from listener.scp.transport import PeerGone, Transport
from storage.domain.association import AssociationEnd

_DATA_PDU = MAXIMUM_PDU + PDU_SLACK
_LAST_WORDS = 4 * MIB  # that a peer may still have had on the way when the association ended
_UNFRAMED = 64 * 1024  # the same of a peer whose PDUs cannot be told apart

_EVENT_OF_PDU = {
    PduType.ASSOCIATE_RQ: Event.ASSOCIATE_RQ_PDU,
    PduType.ASSOCIATE_AC: Event.ASSOCIATE_AC_PDU,
    PduType.ASSOCIATE_RJ: Event.ASSOCIATE_RJ_PDU,
    PduType.DATA_TF: Event.DATA_PDU,
    PduType.RELEASE_RQ: Event.RELEASE_RQ_PDU,
    PduType.RELEASE_RP: Event.RELEASE_RP_PDU,
    PduType.ABORT: Event.ABORT_PDU,
}


class UserAbort(Exception):
    """The service user ends the association; the sentence says why."""


class ServiceUser(Protocol):
    """Whoever speaks DICOM over the association (PS3.8 section 7: primitives)."""

    def provider_rejection(self, request: AssociateRequest) -> bytes | None:
        """The A-ASSOCIATE-RJ for a request that no application needs to see, or ``None``."""
        ...

    def decide(self, request: AssociateRequest) -> tuple[bool, bytes]:
        """Whether the request is accepted, and the PDU that says so. Raises InvalidPdu, UserAbort."""
        ...

    def data(self, start: int, end: int) -> None:
        """Take the content of a P-DATA-TF, where it lies in the reader's view. Raises InvalidPdu, UserAbort."""
        ...

    def deadline(self) -> float:
        """When the message in progress must have ended, by the monotonic clock."""
        ...

    def spill(self) -> None:
        """What was taken is about to be overwritten."""
        ...

    def tick(self) -> None:
        """Nothing came for a while. Raises UserAbort."""
        ...


class UpperLayer:
    """The association's upper layer; ``run`` returns when it is over and the connection closed."""

    def __init__(self, transport: Transport, user: ServiceUser) -> None:
        self._transport = transport
        self._user = user
        self._machine = StateMachine()
        self.reader = PduReader(transport, user.spill, self._tick)
        self.end = AssociationEnd.ABORTED
        self.reason = ""  # why it was aborted
        self._timer = math.inf  # the ARTIM timer, or no end
        self._invalid = AbortReason.NOT_SPECIFIED
        self._framed = True  # whether PDUs can still be told apart
        self._afterwards = 0  # bytes that came after the end
        self._start = self._stop = 0  # the content of the PDU at hand
        self._request: AssociateRequest | None = None
        self._rejection: bytes | None = None
        self._decision = b""

    def run(self) -> None:
        """Serve the association to its end."""
        event: Event | None = Event.TRANSPORT_INDICATION
        while True:
            while event is not None:
                try:
                    event = self._perform(event)
                except PeerGone:
                    event = Event.TRANSPORT_CLOSED
            if self._machine.state is State.IDLE:
                break
            event = self._next_event()
        self._transport.close()

    def send(self, pdus: bytes) -> None:
        """P-DATA request: send these P-DATA-TF PDUs. Raises PeerGone."""
        self._machine.advance(Event.DATA_REQUEST)
        self._transport.send(pdus)

    def _perform(self, event: Event) -> Event | None:
        action = self._machine.advance(event, acceptable=self._rejection is None)
        if action is Action.AA_8 and event is not Event.INVALID_PDU:
            self._invalid = AbortReason.UNEXPECTED_PDU
            self.reason = self.reason or "The peer sent a PDU that may not come then."
        return _PERFORM[action](self)

    def _next_event(self) -> Event:
        state = self._machine.state
        try:
            if state is State.ESTABLISHED:
                kind, self._start, self._stop = self.reader.next(_DATA_PDU, IDLE_DEADLINE, self._user.deadline())
                return _EVENT_OF_PDU[kind]  # type: ignore[index]
            return self._next_outside(state)
        except KeyError:
            return self._is_invalid(InvalidPdu(AbortReason.UNRECOGNIZED_PDU, "A PDU was of an unknown type."))
        except InvalidPdu as error:
            self._framed = False
            return self._is_invalid(error)
        except UserAbort as error:
            return self._aborts(str(error))
        except PeerTooSlow:
            if state is State.ESTABLISHED:
                return self._aborts("The peer was silent or too slow for too long.")
            if state is State.AWAITING_REQUEST:
                self.reason = "No association request came in time."
            return Event.TIMER_EXPIRED
        except PeerGone:
            return Event.TRANSPORT_CLOSED

    def _next_outside(self, state: State) -> Event:
        """The next event before the association stands, or after it has ended."""
        if not self._framed:
            self.reader.drain(_UNFRAMED, self._timer)
        limit = REQUEST_PDU if state is State.AWAITING_REQUEST else _DATA_PDU
        kind, self._start, self._stop = self.reader.next(limit, math.inf, self._timer)
        if state is State.AWAITING_CLOSE:
            self._afterwards += self._stop - self._start
            if self._afterwards > _LAST_WORDS:
                raise PeerTooSlow
        event = _EVENT_OF_PDU[kind]  # type: ignore[index]
        if event is Event.ASSOCIATE_RQ_PDU and state is State.AWAITING_REQUEST:
            self._request = read_request(self.reader.view[self._start : self._stop])
            self._rejection = self._user.provider_rejection(self._request)
        return event

    def _tick(self) -> None:
        if self._machine.state is State.ESTABLISHED:
            self._user.tick()

    def _is_invalid(self, error: InvalidPdu) -> Event:
        self._invalid = error.reason
        self.reason = self.reason or str(error)
        return Event.INVALID_PDU

    def _aborts(self, reason: str) -> Event:
        self.reason = reason
        return Event.ABORT_REQUEST

    # --- actions, by the names of PS3.8 tables 9-6 to 9-9

    def _await_request(self) -> None:  # AE-5
        self._timer = time.monotonic() + REQUEST_DEADLINE

    def _indicate_request(self) -> Event | None:  # AE-6
        if self._rejection is not None:
            self.end = AssociationEnd.REJECTED
            self._last(self._rejection)
            self._rejection = None
            return None
        assert self._request is not None  # noqa: S101 - the event says so
        try:
            accepted, self._decision = self._user.decide(self._request)
        except InvalidPdu as error:
            return self._is_invalid(error)
        except UserAbort as error:
            return self._aborts(str(error))
        return Event.ACCEPT_RESPONSE if accepted else Event.REJECT_RESPONSE

    def _accept(self) -> None:  # AE-7
        self._timer = math.inf
        self._transport.send(self._decision)

    def _reject(self) -> None:  # AE-8
        self.end = AssociationEnd.REJECTED
        self._last(self._decision)

    def _indicate_data(self) -> Event | None:  # DT-2
        try:
            self._user.data(self._start, self._stop)
        except InvalidPdu as error:
            return self._is_invalid(error)
        except UserAbort as error:
            return self._aborts(str(error))
        return None

    def _indicate_release(self) -> Event:  # AR-2
        return Event.RELEASE_RESPONSE

    def _release(self) -> None:  # AR-4
        self.end, self.reason = AssociationEnd.RELEASED, ""
        self._last(RELEASE_RP)

    def _abort_as_user(self) -> None:  # AA-1
        self._last(abort_by_user())

    def _abort_again(self) -> None:  # AA-7: the timer goes on
        self._transport.send(abort_by_provider(self._invalid))

    def _abort_as_provider(self) -> None:  # AA-8
        self._last(abort_by_provider(self._invalid))

    def _peer_aborted(self) -> None:  # AA-3
        self.reason = "The peer aborted the association."

    def _nothing(self) -> None:
        """The state says it all."""

    def _last(self, pdu: bytes) -> None:
        """Send the last PDU of the association; the peer is to close now."""
        self._timer = time.monotonic() + CLOSE_DEADLINE
        self._transport.send(pdu)


_PERFORM: dict[Action, Callable[[UpperLayer], Event | None]] = {
    Action.AE_5: UpperLayer._await_request,
    Action.AE_6: UpperLayer._indicate_request,
    Action.AE_7: UpperLayer._accept,
    Action.AE_8: UpperLayer._reject,
    Action.DT_2: UpperLayer._indicate_data,
    Action.AR_2: UpperLayer._indicate_release,
    Action.AR_4: UpperLayer._release,
    Action.AR_5: UpperLayer._nothing,
    Action.AA_1: UpperLayer._abort_as_user,
    Action.AA_2: UpperLayer._nothing,
    Action.AA_3: UpperLayer._peer_aborted,
    Action.AA_4: UpperLayer._nothing,
    Action.AA_5: UpperLayer._nothing,
    Action.AA_6: UpperLayer._nothing,
    Action.AA_7: UpperLayer._abort_again,
    Action.AA_8: UpperLayer._abort_as_provider,
}
