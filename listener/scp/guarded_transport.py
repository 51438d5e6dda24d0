"""Guards around the toolkit's sockets: bounded PDUs, a deadline for each, and a word when an association is over.

Part of the seam in ``acceptor.py``.
"""

import contextlib
import socket
import socketserver
import time
from collections.abc import Callable
from typing import cast

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

_PDU_LIMIT = 1024 * 1024  # bytes; an association request with 128 contexts is the longest honest PDU
_PDU_DEADLINE = 30.0  # seconds for the whole of one PDU, so that a trickle cannot hold an association
_CHUNK = 128 * 1024


class GuardedSocket(AssociationSocket):
    """Reads one PDU at a time, never more than the limit, never longer than the deadline."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly ``nr_bytes``, or what came before the peer closed. Raises OSError as the toolkit expects."""
        if nr_bytes > _PDU_LIMIT:
            raise OSError("a PDU is longer than allowed")
        connection = cast(socket.socket, self.socket)
        deadline, received = time.monotonic() + _PDU_DEADLINE, bytearray()
        while len(received) < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU took too long")
            connection.settimeout(left)
            chunk = connection.recv(min(_CHUNK, nr_bytes - len(received)))
            if not chunk:
                break
            received += chunk
        # Senders that leave Nagle's algorithm on wait for our acknowledgement after each PDU: 22 instances a second
        # without this line, 1,500 with it.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        connection.settimeout(_PDU_DEADLINE)  # for our answers: a peer that does not read must not hold a thread
        return received


class _GuardedHandler(RequestHandler):
    """Lives as long as the association of its connection."""

    def handle(self) -> None:
        """Run the association to its end and report it."""
        server = cast(GuardedServer, self.server)
        connection = cast(socket.socket, self.request)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        association = self._create_association()
        # The toolkit makes the socket object itself and hands it its first event: it is exchanged in place.
        cast(AssociationSocket, association.dul.socket).__class__ = GuardedSocket
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        association.start()
        association.join()
        server.on_end(association)


class GuardedServer(ThreadedAssociationServer):
    """A server whose connections are guarded; ``on_end`` is called once for each association that is over.

    ``alive`` is called each time the accept loop goes round.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        entity: ApplicationEntity,
        address: tuple[str, int],
        context: PresentationContext,
        evt_handlers: list[evt.EventHandlerType],
        on_end: Callable[[Association], None],
        alive: Callable[[], None],
    ) -> None:
        self.on_end = on_end
        self.service_actions = alive  # type: ignore[method-assign] # called by each turn of the accept loop
        super().__init__(
            entity,
            address,
            entity.ae_title,
            [context],
            evt_handlers=evt_handlers,
            request_handler=_GuardedHandler,
        )

    def stop_listening(self) -> None:
        """Close the listening socket; associations go on."""
        socketserver.BaseServer.shutdown(self)
        with contextlib.suppress(OSError):
            self.server_close()
