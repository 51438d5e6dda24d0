"""Reports of storage commitment on the association on which they were asked for, while it stands (PS3.4 J.3.3)."""

from collections.abc import Callable

from pynetdicom.dsutils import encode

from listener.scp.command_set import Command, event_report
from listener.scp.commitment import SOP_CLASS, SOP_INSTANCE, report_data_set
from listener.scp.negotiation import AcceptedContext
from listener.scp.upper_layer import UserAbort
from storage.ports.commitment import CommitmentRequests

_IMPLICIT_LITTLE = "1.2.840.10008.1.2"


class CommitmentEvents:
    """The reports that one association is waiting for; one at a time is on its way.

    ``send`` sends a command set and a data set in a presentation context.
    """

    def __init__(self, requests: CommitmentRequests, send: Callable[[bytes, bytes, int], None]) -> None:
        self._requests = requests
        self._send = send
        self._awaited: dict[str, tuple[int, AcceptedContext]] = {}
        self._message_id = 0
        self._on_its_way = ""

    def expect(self, request_id: str, context_id: int, context: AcceptedContext) -> None:
        """A request was kept; its report may come in this context."""
        self._awaited[request_id] = (context_id, context)

    def send_next(self) -> None:
        """Send a report that is known by now, if no other is on its way."""
        if self._on_its_way:
            return
        for request_id, (context_id, context) in self._awaited.items():
            report = self._requests.take(request_id)
            if report is not None:
                self._on_its_way = request_id
                self._message_id += 1
                event, data_set = report_data_set(report)
                encoded = encode(data_set, context.transfer_syntax == _IMPLICIT_LITTLE, True) or b""
                self._send(event_report(self._message_id, SOP_CLASS, SOP_INSTANCE, event), encoded, context_id)
                break

    def answered(self, command: Command) -> None:
        """The peer has the report, or refused it; a refused one goes to its own address.

        Raises:
            UserAbort: no such report was sent.
        """
        if not self._on_its_way or command.message_id != self._message_id:
            raise UserAbort("An answer came to a request that was never made.")
        request_id, self._on_its_way = self._on_its_way, ""
        del self._awaited[request_id]
        if command.status == 0:
            self._requests.forget(request_id)
        else:
            self._requests.give_back(request_id)

    def close(self) -> None:
        """The association is over: what is still awaited goes to its own address."""
        if self._on_its_way:
            self._requests.give_back(self._on_its_way)
