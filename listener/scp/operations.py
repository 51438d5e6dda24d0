"""The requests we perform in an association, and the answer to those we do not (PS3.7 sections 9.3 and 10.3)."""

import logging

from listener.scp.command_set import Command, CommandField, response
from listener.scp.limits import UNSERVED_DATA_SET
from listener.scp.negotiation import AcceptedContext
from listener.scp.status import OUT_OF_RESOURCES, SUCCESS, UNRECOGNIZED_OPERATION, Status
from listener.scp.store import StoreHandler, StoreRequest
from listener.scp.upper_layer import UserAbort
from listener.scp.verification import answer_echo
from storage.domain.association import Association
from storage.domain.identifiers import is_uid
from storage.ports.arrivals import IncomingInstance

log = logging.getLogger(__name__)


class StoreOperation:
    """A C-STORE: the data set goes piece by piece into the spool."""

    def __init__(
        self,
        handler: StoreHandler,
        context: AcceptedContext,
        command: Command,
        association: Association,
        limit: int,
    ) -> None:
        self.limit = limit
        self.status = OUT_OF_RESOURCES
        self._handler = handler
        self._context = context
        self._command = command
        self._association = association
        self._incoming: IncomingInstance = handler.begin(
            command.sop_class_uid,
            command.sop_instance_uid,
            context.transfer_syntax,
            association.calling_ae_title,
        )
        self.add = self._incoming.add
        self.spill = self._incoming.spill
        self.discard = self._incoming.discard

    def finish(self) -> bytes:
        """Decide, and answer only what is durable with success."""
        command, context = self._command, self._context
        try:
            self.status = self._handler.handle(
                StoreRequest(
                    sop_class_uid=command.sop_class_uid,
                    sop_instance_uid=command.sop_instance_uid,
                    abstract_syntax_uid=context.abstract_syntax,
                    transfer_syntax_uid=context.transfer_syntax,
                    incoming=self._incoming,
                    association=self._association,
                )
            )
        except Exception as error:  # noqa: BLE001  the association goes on; the sender keeps its instance
            log.error("Storing an instance failed with %s; the sender may send it again.", type(error).__name__)
        return _answer(command, self.status)


class SmallOperation:
    """An operation whose answer, if any, is known before its data set is: C-ECHO, and what we do not perform."""

    limit = UNSERVED_DATA_SET

    def __init__(self, command: Command, status: Status | None) -> None:
        self._command = command
        self._status = status

    def add(self, piece: memoryview) -> None:
        """Nobody needs it."""

    def spill(self) -> None:
        """Nothing was kept."""

    def discard(self) -> None:
        """Nothing was kept."""

    def finish(self) -> bytes:
        """The answer; empty when there is none."""
        return _answer(self._command, self._status) if self._status else b""


def unanswered(command: Command) -> SmallOperation | None:
    """What is to be done with a command that gets no answer."""
    return SmallOperation(command, None) if command.has_data_set else None


def small_operation(command: Command) -> SmallOperation | None:
    """What is to be done with a command that is no C-STORE; ``None`` when it gets no answer.

    Raises:
        UserAbort: it answers what nobody asked.
    """
    if command.field == CommandField.C_ECHO_RQ:
        return SmallOperation(command, answer_echo())
    if command.field == CommandField.C_CANCEL_RQ:
        return unanswered(command)  # whatever it is to cancel has been answered already
    if command.is_response:
        raise UserAbort("An answer came to a request that was never made.")
    return SmallOperation(command, UNRECOGNIZED_OPERATION)


def _answer(command: Command, status: Status) -> bytes:
    """UIDs are optional in the answer (PS3.7 table 9.1-1), and not repeated when they are malformed."""
    return response(
        command.field,
        command.message_id,
        status.code,
        command.sop_class_uid if is_uid(command.sop_class_uid) else "",
        command.sop_instance_uid if is_uid(command.sop_instance_uid) else "",
        "" if status is SUCCESS else status.comment,
    )
