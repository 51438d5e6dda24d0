"""A PACS for tests that records every byte it is sent and can be told to misbehave."""

import hashlib
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

_TRANSFER_SYNTAXES = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.90",
]


class RecordingPacs:
    """Stores in memory whatever it is sent, by SOP Instance UID, and answers as it was told.

    ``received`` holds one (SOP Instance UID, data set bytes) for each C-STORE in order, whatever was answered;
    ``contents`` holds what was *kept*: every distinct content under each UID.
    """

    def __init__(self, sop_classes: Iterable[str] | None = None) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.contents: dict[str, set[bytes]] = defaultdict(set)
        self.proposed: list[list[tuple[str, tuple[str, ...]]]] = []
        self.calling_ae_titles: list[str] = []
        self.released = 0
        self.arrival = threading.Condition()
        self._script: list[Callable[[evt.Event], int]] = []
        self._reject: list[tuple[int, int, int]] = []
        self._sop_classes = sop_classes
        self._reads = True
        self._let_go = threading.Event()
        self._server: ThreadedAssociationServer | None = None
        self.port = 0

    def answer(self, *statuses: int) -> None:
        """Answer the next C-STOREs with these statuses; success and warnings keep the instance."""
        self._script += [lambda event, status=status: self._answer(event, status) for status in statuses]

    def abort_next(self, *, after_storing: bool = False) -> None:
        """Abort the association instead of answering the next C-STORE."""

        def abort(event: evt.Event) -> int:
            if after_storing:
                self._keep(event)
            event.assoc.abort()
            return 0x0110

        self._script.append(abort)

    def drop_connection_next(self, *, after_storing: bool) -> None:
        """Cut the TCP connection instead of answering the next C-STORE."""

        def drop(event: evt.Event) -> int:
            if after_storing:
                self._keep(event)
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
            return 0x0000

        self._script.append(drop)

    def stay_silent_next(self) -> None:
        """Do not answer the next C-STORE until ``let_go`` or ``stop``."""

        def wait(event: evt.Event) -> int:
            self._let_go.wait()
            return self._answer(event, 0x0000)

        self._script.append(wait)

    def ignore_release_next(self) -> None:
        """Store the next instance, and never answer the release of its association."""

        def store(event: evt.Event) -> int:
            event.assoc.acse.is_release_requested = lambda: False
            return self._answer(event, 0x0000)

        self._script.append(store)

    def answer_ahead_next(self) -> None:
        """Answer the next C-STORE with success, and with it the one after it, which was not sent yet."""

        def answer_both(event: evt.Event) -> int:
            for message_id in (event.request.MessageID, event.request.MessageID + 1):
                response = C_STORE()
                response.MessageIDBeingRespondedTo = message_id
                response.AffectedSOPClassUID = event.request.AffectedSOPClassUID
                response.AffectedSOPInstanceUID = event.request.AffectedSOPInstanceUID
                response.Status = 0x0000
                event.assoc.dimse.send_msg(response, event.context.context_id)
            return self._answer(event, 0x0000)

        self._script.append(answer_both)

    def stop_reading(self) -> None:
        """From now on read nothing more after the first PDU of a message, until ``let_go`` or ``stop``."""
        self._reads = False

    def let_go(self) -> None:
        """End every silence."""
        self._let_go.set()

    def hang_up(self) -> None:
        """Abort every association that is open, and return once they have ended."""
        assert self._server is not None
        for association in self._server.active_associations:
            association.abort()
            association.join()

    def reject_next(self, result: int, source: int, diagnostic: int) -> None:
        """Reject the next association with these values of PS3.8 table 9-21."""
        self._reject.append((result, source, diagnostic))

    def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> int:
        """Listen on 127.0.0.1 and return the port."""
        entity = AE(ae_title="PACS")
        for context in StoragePresentationContexts:
            if self._sop_classes is None or context.abstract_syntax in self._sop_classes:
                entity.add_supported_context(context.abstract_syntax or "", _TRANSFER_SYNTAXES)
        entity.add_supported_context(Verification)
        entity.maximum_associations = 100
        self._server = entity.start_server(
            ("127.0.0.1", port),
            block=False,
            ssl_context=tls,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_DATA_RECV, self._data_received),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_RELEASED, self._released),
            ],
        )
        self.port = self._server.socket.getsockname()[1]
        return self.port

    def stop(self) -> None:
        """Stop listening and end every association."""
        self.let_go()
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def wait_until(self, predicate: Callable[["RecordingPacs"], bool], seconds: float = 30) -> None:
        """Return once ``predicate`` holds, looked at after each arrival."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: predicate(self), seconds), f"not within {seconds} s: {predicate}"

    def digests(self) -> dict[str, set[str]]:
        """SHA-256 of each distinct content kept under each UID."""
        return {uid: {hashlib.sha256(content).hexdigest() for content in kept} for uid, kept in self.contents.items()}

    def _requested(self, event: evt.Event) -> None:
        request = event.assoc.requestor
        self.calling_ae_titles.append(request.primitive.calling_ae_title)
        self.proposed.append(
            [
                (str(context.abstract_syntax), tuple(map(str, context.transfer_syntax)))
                for context in request.primitive.presentation_context_definition_list
            ]
        )
        if self._reject:
            event.assoc.acse.send_reject(*self._reject.pop(0))
            event.assoc.is_rejected = True
            event.assoc.kill()

    def _released(self, event: evt.Event) -> None:
        with self.arrival:
            self.released += 1
            self.arrival.notify_all()

    def _data_received(self, event: evt.Event) -> None:
        if not self._reads and event.data[:1] == b"\x04":  # P-DATA-TF
            self._let_go.wait()

    def _store(self, event: evt.Event) -> int:
        with self.arrival:
            self.received.append((str(event.request.AffectedSOPInstanceUID), event.request.DataSet.getvalue()))
            step = self._script.pop(0) if self._script else lambda event: self._answer(event, 0x0000)
            self.arrival.notify_all()
        return step(event)

    def _answer(self, event: evt.Event, status: int) -> int:
        if status == 0x0000 or status & 0xF000 == 0xB000:
            self._keep(event)
        return status

    def _keep(self, event: evt.Event) -> None:
        with self.arrival:
            self.contents[str(event.request.AffectedSOPInstanceUID)].add(event.request.DataSet.getvalue())
            self.arrival.notify_all()


@contextmanager
def trickling_listener(answer: bytes = b"\x02\x00\x00\x01\x00\x00") -> Iterator[int]:
    """A TCP port that answers the first connection byte after byte, and never comes to the end of its answer.

    ``answer`` is its beginning; without one, that of an A-ASSOCIATE-AC of 65,536 bytes.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def trickle() -> None:
            with suppress(OSError), server.accept()[0] as connection:
                connection.sendall(answer)
                while not ended.wait(0.1):
                    connection.sendall(b"\x00")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def silent_listener() -> Iterator[int]:
    """A TCP port that accepts connections, reads nothing and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()
            thread.join()


@pytest.fixture
def recording_pacs() -> Iterator[RecordingPacs]:
    """A running PACS that records and can be told to misbehave."""
    pacs = RecordingPacs()
    pacs.start()
    yield pacs
    pacs.stop()
