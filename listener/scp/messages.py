"""Puts messages together from the fragments in P-DATA (PS3.8 annex E), one at a time as the Standard has them.

A command set is copied, because it is small; of a data set only references into the receive buffer are passed on.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from listener.scp.command_set import Command, MalformedCommand, read_command
from listener.scp.limits import COMMAND_SET, MESSAGE_GRACE, MINIMUM_RATE
from listener.scp.negotiation import AcceptedContext
from listener.scp.pdu import COMMAND_FRAGMENT, LAST_FRAGMENT, PDV_HEADER, AbortReason
from listener.scp.pdu_reader import InvalidPdu
from listener.scp.upper_layer import UserAbort


class Operation(Protocol):
    """One request that is being performed; ``finish`` or ``discard`` ends it."""

    limit: int  # bytes of data set that it takes

    def add(self, piece: memoryview) -> None:
        """Take the next bytes of the data set; they stay as they are until ``spill`` or the end."""
        ...

    def spill(self) -> None:
        """Let go of what was taken by reference."""
        ...

    def finish(self) -> bytes:
        """The data set, if there is one, has come to its end: the command set of the answer."""
        ...

    def discard(self) -> None:
        """It will not come to its end."""
        ...


class MessageReceiver:
    """Follows the messages of one association.

    ``begin`` makes the operation of a request, or ``None`` of a command that is not answered; ``answer`` sends a
    command set in a presentation context.
    """

    def __init__(
        self,
        view: memoryview,
        contexts: Mapping[int, AcceptedContext],
        begin: Callable[[AcceptedContext, Command], Operation | None],
        answer: Callable[[bytes, int], None],
    ) -> None:
        self._view = view
        self._contexts = contexts
        self._begin = begin
        self._answer = answer
        self._context_id = -1  # of the message in progress; at first none, which no peer can name
        self._command: bytearray | None = None  # its command set, while it comes in several fragments
        self._operation: Operation | None = None  # while its data set comes
        self._size = 0  # of what came of the data set
        self._began = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no message is in progress."""
        return self._operation is None and self._command is None

    def deadline(self) -> float:
        """When the next fragment must have come for the message to keep up its rate."""
        if self._operation is None and self._command is None:
            return math.inf
        return self._began + MESSAGE_GRACE + self._size / MINIMUM_RATE

    def take(self, start: int, end: int) -> None:
        """Take the content of one P-DATA-TF. Raises InvalidPdu, UserAbort, PeerGone."""
        view = self._view
        if start == end:
            raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "A P-DATA-TF PDU was empty.")
        while start < end:
            if end - start < PDV_HEADER.size:
                raise InvalidPdu(AbortReason.INVALID_PDU_PARAMETER_VALUE, "A presentation data value was cut off.")
            length, context_id, control = PDV_HEADER.unpack_from(view, start)
            stop = start + 4 + length
            if length < 2 or stop > end:
                raise InvalidPdu(
                    AbortReason.INVALID_PDU_PARAMETER_VALUE, "A presentation data value was longer than its PDU."
                )
            if context_id != self._context_id and not (self.is_idle and context_id in self._contexts):
                raise InvalidPdu(
                    AbortReason.INVALID_PDU_PARAMETER_VALUE,
                    "A fragment came in a presentation context that was not accepted or not that of its message.",
                )
            piece = view[start + 6 : stop]
            if control & COMMAND_FRAGMENT:
                self._take_command(piece, context_id, control)
            else:
                self._take_data(piece, control)
            start = stop

    def spill(self) -> None:
        """Let go of everything in the view."""
        if self._operation is not None:
            self._operation.spill()

    def discard(self) -> bool:
        """Forget a message in progress; whether there was one."""
        idle, operation = self.is_idle, self._operation
        self._operation = self._command = None
        if operation is not None:
            operation.discard()
        return not idle

    def _take_command(self, piece: memoryview, context_id: int, control: int) -> None:
        if self._operation is not None:
            raise UserAbort("A command came before the data set of the message before it had ended.")
        if self._command is None:
            self._context_id, self._size, self._began = context_id, 0, time.monotonic()
            if control & LAST_FRAGMENT:
                self._begin_message(piece)
                return
            self._command = bytearray()
        if len(self._command) + len(piece) > COMMAND_SET:
            raise UserAbort("A command set was longer than allowed.")
        self._command += piece
        if control & LAST_FRAGMENT:
            command, self._command = self._command, None
            self._begin_message(command)

    def _begin_message(self, encoded: memoryview | bytearray) -> None:
        try:
            command = read_command(encoded)
        except MalformedCommand as error:
            raise UserAbort(str(error)) from None
        operation = self._begin(self._contexts[self._context_id], command)
        if operation is None or command.has_data_set:
            self._operation = operation
        else:
            self._answer(operation.finish(), self._context_id)

    def _take_data(self, piece: memoryview, control: int) -> None:
        operation = self._operation
        if operation is None:
            raise UserAbort("A data set came without the command that it belongs to.")
        self._size += len(piece)
        if self._size > operation.limit:
            raise UserAbort("A data set was larger than allowed.")
        if piece:
            operation.add(piece)
        if control & LAST_FRAGMENT:
            self._operation = None
            self._answer(operation.finish(), self._context_id)
