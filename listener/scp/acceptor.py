"""The listening socket, and a thread for each connection."""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from listener.errors import ListenerError, PortBusy
from listener.scp.association_policy import (
    CERTIFICATE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_ROOM,
    STOPPING,
    AssociationPolicy,
    Rejection,
)
from listener.scp.connection import Connection
from listener.scp.conversation import Conversation, House, refused_note
from listener.scp.negotiation import Negotiator
from listener.scp.note_budget import NoteBudget
from listener.scp.pending import PendingConnections
from listener.scp.presentation_contexts import Repertoire
from listener.scp.seats import Seats, SharedSeats
from listener.scp.store import StoreHandler
from listener.scp.tls import HandshakeFailed, TlsDoor
from listener.scp.toolkit_log import quiet_toolkits
from listener.scp.transport import PeerGone, PlainTransport, Transport, prepare
from listener.settings import ListenerSettings
from storage.domain.association import Association
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.ports.commitment import CommitmentReports, CommitmentRequests
from storage.ports.completeness import AvailabilityNotices

log = logging.getLogger(__name__)

_LOGGED_SUBJECT = 256  # characters
_BACKLOG = 512  # connections that the system may hold for us; a burst of senders is no reason to lose one
_GRACE = 10.0  # seconds that a message in progress has when we stop
_STOP_POLL = 0.02  # seconds
_NO_DESCRIPTOR_PAUSE = 0.05  # seconds until accepting is tried again


class Acceptor:
    """Accepts associations on one port and serves C-STORE and C-ECHO in them."""

    def __init__(
        self,
        settings: ListenerSettings,
        policy: AssociationPolicy,
        handler: StoreHandler,
        require_room: Callable[[], None] = lambda: None,
        seats: Seats | None = None,
        commitments: CommitmentRequests | None = None,
        reports: CommitmentReports | None = None,
        notices: AvailabilityNotices | None = None,
    ) -> None:
        """Prepare to serve.

        ``require_room`` raises SpoolFull or SpoolWriteFailed while nothing could be kept; ``seats`` are those of this
        process among others that serve the port; without ``commitments`` storage commitment is not offered, and
        without ``reports`` none on our own requests is taken; without ``notices`` no notification of availability is.
        """
        self._settings = settings
        self._policy = policy
        self._handler = handler
        self._seats = seats or Seats(SharedSeats(1, settings.max_associations))
        self._require_room = require_room
        limits = {each.sop_class_uid: each.max_instance_bytes for each in settings.size_limits}
        self._house = House(
            Negotiator(
                Repertoire(settings, commitment=commitments is not None, availability=notices is not None).offered
            ),
            handler,
            self._admit,
            partial(_largest, settings.max_instance_bytes, limits),
            commitments,
            reports,
            notices,
        )
        self._pending = PendingConnections()
        self._budget = NoteBudget()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._tls = TlsDoor(settings) if settings.tls_certificate else None
        self._listening: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._alone = False  # whether no other process accepts from the same socket

    def start(self) -> None:
        """Begin to listen.

        Raises:
            PortBusy: another program has the port.
            ListenerError: the address cannot be listened on.
        """
        self._alone = True
        self.serve_on(listening_socket(self._settings.host, self._settings.port))

    def serve_on(self, listening: socket.socket) -> None:
        """Accept connections of a socket that listens already."""
        quiet_toolkits()
        self._listening = listening
        self._thread = threading.Thread(target=self._accept, args=(listening,), name="accept", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The TCP port we listen on, also when the settings left the choice to the system."""
        if self._listening is None:
            raise ListenerError("The listener was asked for its port before it was started.")
        return int(self._listening.getsockname()[1])

    def stop(self) -> None:
        """Accept no association more, let messages in progress end within a grace period, then end what is left."""
        if self._listening is None or self._thread is None or self._closing:
            return
        self._house.stopping = True
        deadline = time.monotonic() + _GRACE
        while self._seats.taken and time.monotonic() < deadline:
            time.sleep(_STOP_POLL)
        self._closing = True
        if self._alone:
            self._listening.shutdown(socket.SHUT_RDWR)  # so that accepting ends before its next tick
        self._thread.join()
        self._listening.close()
        while self._connections:
            with self._lock:
                for connection in self._connections:
                    connection.cut()
            time.sleep(_STOP_POLL)

    def _accept(self, listening: socket.socket) -> None:
        while not self._closing:
            self._seats.beat()
            try:
                accepted, address = listening.accept()
            except BlockingIOError:
                continue  # nobody came for a tick
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    log.error("A connection could not be accepted (%s); raise the limit of open files.", error.strerror)
                    time.sleep(_NO_DESCRIPTOR_PAUSE)
                continue
            self._begin(Connection(accepted, address[0]))

    def _begin(self, connection: Connection) -> None:
        self._pending.add(connection)
        with self._lock:
            self._connections.add(connection)
        try:
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except RuntimeError:  # no thread can be made
            log.error("A connection was closed because no thread could be made; lower max_associations.")
            self._forget(connection)
            connection.close()

    def _serve(self, connection: Connection) -> None:
        """Everything that happens on a connection happens in its own thread."""
        conversation, note = None, None
        try:
            transport = self._transport(connection)
            conversation = Conversation(self._house, transport, connection.address, partial(self._let_in, connection))
            conversation.run()
        except HandshakeFailed as error:
            note = refused_note(connection.address, str(error))
        except PeerGone:
            pass
        except Exception as error:  # noqa: BLE001  one association must not take the others with it
            log.error("An association ended with %s.", type(error).__name__)
        finally:
            connection.close()
            seat = 0
            if conversation is not None:
                seat, note = conversation.seat, conversation.note()
                self._seats.leave(seat)
            try:
                self._note(note, let_in=bool(seat))
            finally:
                self._forget(connection)

    def _transport(self, connection: Connection) -> Transport:
        if self._tls is None:
            return PlainTransport(connection.socket)
        encrypted = self._tls.wrap(connection.socket)
        connection.socket = encrypted
        return self._tls.shake_hands(encrypted)

    def _let_in(self, connection: Connection) -> None:
        self._pending.remove(connection)

    def _admit(self, conversation: Conversation) -> Rejection | None:
        """Reject, or count in."""
        facts = conversation.facts
        seat, others, of_address = self._seats.take(facts.remote_address)
        admitted = False
        try:
            rejection = (
                self._policy.rejection(
                    facts.calling_ae_title,
                    facts.called_ae_title,
                    facts.remote_address,
                    others,
                    of_address,
                    conversation.certificate_subject,
                )
                or self._present_rejection()
                or (None if seat else LOCAL_LIMIT_EXCEEDED)
            )
            admitted = rejection is None
            if rejection is CERTIFICATE_NOT_RECOGNIZED:
                log.info(
                    "The client certificate from %s has the subject %r.",
                    *(facts.remote_address, conversation.certificate_subject[:_LOGGED_SUBJECT]),
                )
        finally:
            if not admitted:  # nor when something failed: a seat that nobody leaves is lost until the next start
                self._seats.leave(seat)
        if admitted:
            conversation.seat = seat
        return rejection

    def _present_rejection(self) -> Rejection | None:
        if self._house.stopping:
            return STOPPING
        try:
            self._require_room()
        except (SpoolFull, SpoolWriteFailed, OSError):
            return NO_ROOM
        return None

    def _note(self, note: Association | None, let_in: bool) -> None:
        if note is None:
            return
        if not let_in:
            unsaid = self._budget.spend()
            if unsaid is None:
                return
            if unsaid:
                note = replace(note, reason=f"{note.reason} Before it, {unsaid} more that nobody let in.")
            log.warning(
                "A connection from %s (%r calling %r) was not let in: %s",
                *(note.remote_address, note.calling_ae_title, note.called_ae_title, note.reason),
            )
        log.info(
            "An association from %s (%r calling %r) was %s: %d stored, %d refused.",
            *(note.remote_address, note.calling_ae_title, note.called_ae_title),
            *(note.end.value, note.stored_count, note.refused_count),
        )
        self._handler.record_association(note)

    def _forget(self, connection: Connection) -> None:
        self._pending.remove(connection)
        with self._lock:
            self._connections.discard(connection)


def _largest(otherwise: int, limits: Mapping[str, int], sop_class_uid: str) -> int:
    return limits.get(sop_class_uid, otherwise)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        PortBusy: another program has the port.
        ListenerError: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            prepare(listening)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise _bind_error((host, port), error) from error
    return listening


def _bind_error(address: tuple[str, int], error: OSError) -> ListenerError:
    host, port = address
    if error.errno == errno.EADDRINUSE:
        return PortBusy(
            f"Port {port} on {host} is already in use; stop the other program or set another [listener] port."
        )
    reason = "the name is unknown" if isinstance(error, socket.gaierror) else error.strerror
    return ListenerError(f"Cannot listen on {host} port {port} ({reason}); correct [listener] host and port.")
