"""Who speaks DICOM in an association: decides on the request, takes the messages, remembers what came of it."""

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from listener.scp.association_policy import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    Rejection,
)
from listener.scp.availability import AvailabilityOperation
from listener.scp.command_set import Command, CommandField
from listener.scp.commitment import CommitmentOperation
from listener.scp.commitment_events import CommitmentEvents
from listener.scp.commitment_reports import ReportOperation
from listener.scp.messages import MessageReceiver, Operation
from listener.scp.negotiation import (
    APPLICATION_CONTEXT,
    AcceptedContext,
    AssociateRequest,
    Negotiated,
    Negotiator,
    associate_ac,
)
from listener.scp.operations import StoreOperation, small_operation, unanswered
from listener.scp.pdu import associate_rj, command_pdus, data_set_pdus
from listener.scp.presentation_contexts import INSTANCE_AVAILABILITY, NOT_STORAGE, STORAGE_COMMITMENT
from listener.scp.status import SUCCESS
from listener.scp.store import StoreHandler
from listener.scp.transport import Transport
from listener.scp.upper_layer import UpperLayer, UserAbort
from storage.domain.association import Association, AssociationEnd
from storage.ports.commitment import CommitmentReports, CommitmentRequests
from storage.ports.completeness import AvailabilityNotices


@dataclass
class House:
    """What all conversations of a listener share.

    ``admit`` says why a request is rejected, or counts it in; ``largest`` is the most bytes of a data set by SOP Class;
    ``stopping`` says that nothing new is to be begun.
    """

    negotiator: Negotiator
    handler: StoreHandler
    admit: Callable[["Conversation"], Rejection | None]
    largest: Callable[[str], int]
    commitments: CommitmentRequests | None = None
    reports: CommitmentReports | None = None
    notices: AvailabilityNotices | None = None
    stopping: bool = False


class Conversation:
    """One connection from its beginning to the note about it; ``on_admitted`` is called once it is let in."""

    def __init__(
        self,
        house: House,
        transport: Transport,
        remote_address: str,
        on_admitted: Callable[[], None] = lambda: None,
    ) -> None:
        self._house = house
        self.certificate_subject = transport.subject
        self._on_admitted = on_admitted
        self.facts = Association(
            association_id=str(uuid.uuid4()),
            calling_ae_title="",
            called_ae_title="",
            remote_address=remote_address,
            started_at=datetime.now(UTC),
        )
        self.seat = 0  # among all associations, once it is let in
        self._requested = False
        self._stored = self._refused = 0
        self._rejection: Rejection | None = None
        self._messages: MessageReceiver | None = None
        self._peer_maximum = 0
        self._current: Operation | None = None
        self._events = CommitmentEvents(house.commitments, self._report) if house.commitments else None
        self._upper = UpperLayer(transport, self)

    def run(self) -> None:
        """Speak until the connection is closed."""
        try:
            self._upper.run()
        finally:
            if self._messages is not None and self._messages.discard():
                self._refused += 1
            if self._events is not None:
                self._events.close()
            self._messages = self._current = None  # they may refer to the buffer
            self._upper.reader.close()

    # --- what the upper layer asks of its service user

    def provider_rejection(self, request: AssociateRequest) -> bytes | None:
        """Reject another version of the protocol before anything else is looked at."""
        self._requested = True
        self.facts = replace(
            self.facts, calling_ae_title=request.calling_ae_title, called_ae_title=request.called_ae_title
        )
        return None if request.speaks_our_version else self._reject(PROTOCOL_VERSION_NOT_SUPPORTED)

    def decide(self, request: AssociateRequest) -> tuple[bool, bytes]:
        """Accept or reject (PS3.8 section 9.3.4); what a stranger proposes is not even looked at."""
        rejection = self._house.admit(self)
        if rejection is not None:
            return False, self._reject(rejection)
        negotiated = self._house.negotiator.negotiate(request.items)
        if negotiated.application_context != APPLICATION_CONTEXT:
            return False, self._reject(APPLICATION_CONTEXT_NOT_SUPPORTED)
        self._on_admitted()
        self._begin(negotiated)
        return True, associate_ac(request, negotiated)

    def data(self, start: int, end: int) -> None:
        """Take the content of a P-DATA-TF."""
        messages = self._messages
        assert messages is not None  # noqa: S101 - the state says so
        messages.take(start, end)
        if messages.is_idle:
            self._upper.reader.rewind()
            if self._house.stopping and self._upper.reader.is_empty:
                raise UserAbort("The listener was stopped.")

    def deadline(self) -> float:
        """When the message in progress must have ended."""
        return math.inf if self._messages is None else self._messages.deadline()

    def spill(self) -> None:
        """What was taken is about to be overwritten."""
        if self._messages is not None:
            self._messages.spill()

    def tick(self) -> None:
        """End an idle association when the listener stops; tell it what it waits for."""
        if self._messages is None or not self._messages.is_idle:
            return
        if self._house.stopping:
            raise UserAbort("The listener was stopped.")
        if self._events is not None:
            self._events.send_next()

    # --- messages

    def _begin(self, negotiated: Negotiated) -> None:
        self._peer_maximum = negotiated.peer_maximum
        self._messages = MessageReceiver(
            self._upper.reader.view, negotiated.contexts, self._begin_operation, self._answer
        )

    def _begin_operation(self, context: AcceptedContext, command: Command) -> Operation | None:
        house = self._house
        if command.field == CommandField.C_STORE_RQ and context.abstract_syntax not in NOT_STORAGE:
            limit = house.largest(context.abstract_syntax)
            self._current = StoreOperation(house.handler, context, command, self.facts, limit)
            return self._current
        if house.commitments is not None and self._events is not None and context.abstract_syntax == STORAGE_COMMITMENT:
            if command.field == CommandField.N_ACTION_RQ:
                self._current = CommitmentOperation(house.commitments, context, command, self.facts)
                return self._current
            if command.field == CommandField.N_EVENT_REPORT_RQ and house.reports is not None:
                self._current = ReportOperation(house.reports, context, command, self.facts)
                return self._current
            if command.field == CommandField.N_EVENT_REPORT_RSP:
                self._events.answered(command)
                return unanswered(command)
        noticed = context.abstract_syntax == INSTANCE_AVAILABILITY and command.field == CommandField.N_CREATE_RQ
        if noticed and house.notices is not None:
            self._current = AvailabilityOperation(house.notices, context, command, self.facts)
            return self._current
        return small_operation(command)

    def _answer(self, command_set: bytes, context_id: int) -> None:
        done, self._current = self._current, None
        if isinstance(done, StoreOperation):
            self._stored += done.status is SUCCESS
            self._refused += done.status is not SUCCESS
        elif isinstance(done, CommitmentOperation) and done.request_id and self._events is not None:
            self._events.expect(done.request_id, context_id, done.context)
        if command_set:
            self._upper.send(command_pdus(command_set, context_id, self._peer_maximum))

    def _report(self, command_set: bytes, data_set: bytes, context_id: int) -> None:
        self._upper.send(
            command_pdus(command_set, context_id, self._peer_maximum)
            + data_set_pdus(data_set, context_id, self._peer_maximum)
        )

    def _reject(self, rejection: Rejection) -> bytes:
        self._rejection = rejection
        return associate_rj(rejection.result, rejection.source, rejection.reason)

    # --- afterwards

    def note(self) -> Association | None:
        """What is to be remembered; ``None`` of a connection in which nothing was said."""
        upper, end = self._upper, self._upper.end
        reason = self._rejection.sentence if self._rejection else upper.reason
        if not self._requested and not upper.reason:
            return None
        if end is AssociationEnd.ABORTED and not reason:
            reason = "The association ended without a release."
        return replace(
            self.facts,
            ended_at=datetime.now(UTC),
            end=end,
            stored_count=self._stored,
            refused_count=self._refused,
            reason="" if end is AssociationEnd.RELEASED else reason,
        )


def refused_note(remote_address: str, reason: str) -> Association:
    """The note of a connection that came to no conversation."""
    now = datetime.now(UTC)
    return Association(str(uuid.uuid4()), "", "", remote_address, now, now, AssociationEnd.REJECTED, reason=reason)
