"""The seam to pynetdicom: nothing else in ``listener/scp`` knows which toolkit speaks the upper layer protocol."""

import errno
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import cast

from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association as ToolkitAssociation
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid

from listener.errors import ListenerError, PortBusy
from listener.scp.association_policy import AssociationPolicy, Rejection
from listener.scp.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.scp.guarded_transport import GuardedServer
from listener.scp.presentation_contexts import (
    RETIRED_STORAGE_CLASSES,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    in_order_of_preference,
)
from listener.scp.status import OUT_OF_RESOURCES, SUCCESS, Status
from listener.scp.store import StoreHandler, StoreRequest
from listener.scp.toolkit_log import quiet_toolkits
from listener.scp.verification import answer_echo
from listener.settings import ListenerSettings
from storage.domain.association import Association, AssociationEnd
from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier

log = logging.getLogger(__name__)

_MAXIMUM_PDU = 128 * 1024  # bytes; larger ones bring no speed, smaller ones cost a loop each
_NETWORK_TIMEOUT = 60  # seconds of silence after which an association is aborted
_ACSE_TIMEOUT = 30  # seconds from the connection to the association request
_DIMSE_TIMEOUT = 30
_GRACE = 10.0  # seconds that a message in progress has when we stop
_STOP_POLL = 0.02  # seconds
_VERIFICATION = "1.2.840.10008.1.1"
_STORE = "C_STORE_RQ"
_SERVED = (_STORE, "C_ECHO_RQ")
_NOT_A_UID = "-"  # stands for an absent one, so that our own check finds it malformed
_IDENTITY = ("AffectedSOPClassUID", "AffectedSOPInstanceUID")


@dataclass
class _Conversation:
    """What we know of an association while it lasts."""

    facts: Association
    rejected: bool = False
    received: int = 0  # requests read to their end
    answered: int = 0
    stored: int = 0
    refused: int = 0
    reason: str = ""


class Acceptor:
    """Accepts associations on one port and serves C-STORE and C-ECHO in them."""

    def __init__(
        self,
        settings: ListenerSettings,
        policy: AssociationPolicy,
        handler: StoreHandler,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._alive = alive
        self._settings = settings
        self._policy = policy
        self._handler = handler
        self._conversations: dict[ToolkitAssociation, _Conversation] = {}
        self._changed = threading.Condition()
        self._server: GuardedServer | None = None

    def start(self) -> None:
        """Begin to listen.

        Raises:
            PortBusy: another program has the port.
            ListenerError: the address cannot be listened on.
        """
        quiet_toolkits()
        _accept_any_uid_in_commands()
        address = (self._settings.host, self._settings.port)
        try:
            server = GuardedServer(
                self._entity(),
                address,
                build_context(_VERIFICATION),
                [
                    (evt.EVT_REQUESTED, self._on_requested),
                    (evt.EVT_DIMSE_RECV, self._on_message),
                    (evt.EVT_DIMSE_SENT, self._on_answer),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_C_ECHO, self._on_echo),
                ],
                self._on_end,
                self._alive,
            )
        except OSError as error:
            raise _bind_error(address, error) from error
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def port(self) -> int:
        """The TCP port we listen on, also when the settings left the choice to the system."""
        if self._server is None:
            raise ListenerError("The listener was asked for its port before it was started.")
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Accept nothing more, let messages in progress end within a grace period, then abort what is left."""
        if self._server is None:
            return
        self._server.stop_listening()
        deadline = time.monotonic() + _GRACE
        idle_before: set[ToolkitAssociation] = set()
        while self._conversations:
            late = time.monotonic() > deadline
            with self._changed:
                idle = {assoc for assoc, each in self._conversations.items() if late or _is_idle(assoc, each)}
                for assoc in idle & idle_before:  # twice in a row, so not just between two steps of one message
                    self._conversations[assoc].reason = "The listener was stopped."
            _abort_all(idle & idle_before)
            idle_before = idle
            with self._changed:
                self._changed.wait(_STOP_POLL)

    def _entity(self) -> ApplicationEntity:
        entity = ApplicationEntity(self._settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = _MAXIMUM_PDU
        entity.network_timeout = _NETWORK_TIMEOUT
        entity.acse_timeout = _ACSE_TIMEOUT
        entity.dimse_timeout = _DIMSE_TIMEOUT
        entity.maximum_associations = self._settings.max_associations + 1000  # the policy counts, not the toolkit
        return entity

    def _on_requested(self, event: evt.Event) -> None:
        """Accept or reject (PS3.8 section 9.3.4), and offer exactly what was proposed as far as we take it."""
        assoc = event.assoc
        request = cast(A_ASSOCIATE, assoc.requestor.primitive)
        facts = Association(
            association_id=str(uuid.uuid4()),
            calling_ae_title=str(request.calling_ae_title).strip(),
            called_ae_title=str(request.called_ae_title).strip(),
            remote_address=str(assoc.requestor.address),
            started_at=datetime.now(UTC),
        )
        with self._changed:
            accepted = sum(not each.rejected for each in self._conversations.values())
            rejection = self._policy.rejection(
                facts.calling_ae_title, facts.called_ae_title, facts.remote_address, accepted
            )
            conversation = _Conversation(facts, rejected=rejection is not None)
            self._conversations[assoc] = conversation
        if rejection is None:
            assoc.acceptor.supported_contexts = _supported(request.presentation_context_definition_list)
        else:
            conversation.reason = rejection.sentence
            _reject(assoc, rejection)

    def _on_message(self, event: evt.Event) -> None:
        """Count a request; give a missing UID a value, without which the toolkit would drop the request unanswered."""
        message = type(event.message).__name__
        if message not in _SERVED:
            return
        command = event.message.command_set
        for keyword in _IDENTITY if message == _STORE else ():
            if not command.get(keyword):
                setattr(command, keyword, _NOT_A_UID)
        conversation = self._conversations.get(event.assoc)
        if conversation is not None:
            conversation.received += 1

    def _on_answer(self, event: evt.Event) -> None:
        conversation = self._conversations.get(event.assoc)
        if conversation is not None:
            conversation.answered += 1

    def _on_echo(self, event: evt.Event) -> int:
        return answer_echo().code

    def _on_store(self, event: evt.Event) -> Dataset | int:
        conversation = self._conversations[event.assoc]
        request = cast(C_STORE, event.request)
        sop_class_uid = str(request.AffectedSOPClassUID)
        sop_instance_uid = str(request.AffectedSOPInstanceUID).strip()
        transfer_syntax_uid = str(event.context.transfer_syntax)
        try:
            incoming = self._handler.begin(
                sop_class_uid, sop_instance_uid, transfer_syntax_uid, conversation.facts.calling_ae_title
            )
            incoming.add(cast(BytesIO, request.DataSet).getbuffer())
            status = self._handler.handle(
                StoreRequest(
                    sop_class_uid=sop_class_uid,
                    sop_instance_uid=sop_instance_uid,
                    abstract_syntax_uid=str(event.context.abstract_syntax),
                    transfer_syntax_uid=transfer_syntax_uid,
                    incoming=incoming,
                    association=conversation.facts,
                )
            )
        except Exception as error:  # noqa: BLE001  the association's thread ends here; the sender keeps its instance
            log.error("Storing an instance failed with %s; the sender may send it again.", type(error).__name__)
            status = OUT_OF_RESOURCES
        if status is SUCCESS:
            conversation.stored += 1
        else:
            conversation.refused += 1
        return _answer(status, str(request.AffectedSOPInstanceUID))

    def _on_end(self, assoc: ToolkitAssociation) -> None:
        """Called when the association's thread is over; only here is it known how it ended."""
        conversation = self._conversations.get(assoc)
        if conversation is None:
            return  # a connection without an association request
        end = AssociationEnd.RELEASED if assoc.is_released else AssociationEnd.ABORTED
        if conversation.rejected:
            end = AssociationEnd.REJECTED
        elif end is AssociationEnd.ABORTED and not conversation.reason:
            conversation.reason = "The association ended without a release."
        log.info(
            "An association from %s was %s: %d stored, %d refused.",
            *(conversation.facts.remote_address, end.value, conversation.stored, conversation.refused),
        )
        self._handler.record_association(
            replace(
                conversation.facts,
                ended_at=datetime.now(UTC),
                end=end,
                stored_count=conversation.stored,
                refused_count=conversation.refused,
                reason=conversation.reason,
            )
        )
        with self._changed:
            del self._conversations[assoc]
            self._changed.notify_all()


def _accept_any_uid_in_commands() -> None:
    """Let malformed UIDs reach our own check, which answers 0xA900; the toolkit would abort or drop the message."""
    _config.VALIDATORS["UI"] = lambda _: (True, "")
    for uid, keyword in RETIRED_STORAGE_CLASSES.items():
        register_uid(uid, keyword, StorageServiceClass)


def _supported(proposed: Iterable[PresentationContext]) -> list[PresentationContext]:
    syntaxes: dict[str, list[str]] = {}
    for context in proposed:
        abstract_syntax = str(context.abstract_syntax)
        if abstract_syntax in STORAGE_CLASSES or abstract_syntax == _VERIFICATION:
            syntaxes.setdefault(abstract_syntax, []).extend(map(str, context.transfer_syntax))
    # A known class with no known transfer syntax still gets a context, so that the right half is named as unsupported.
    return [
        build_context(uid, [*(in_order_of_preference(each) or TRANSFER_SYNTAXES[:1])]) for uid, each in syntaxes.items()
    ]


def _reject(assoc: ToolkitAssociation, rejection: Rejection) -> None:
    log.warning("An association was rejected: %s", rejection.sentence)
    assoc.acse.send_reject(rejection.result, rejection.source, rejection.reason)
    assoc.is_rejected = True
    assoc.kill()


def _answer(status: Status, sop_instance_uid: str) -> Dataset | int:
    if status is SUCCESS:
        return status.code
    answer = Dataset()
    answer.Status = status.code
    answer.ErrorComment = status.comment
    try:
        checked_uid(sop_instance_uid, "AffectedSOPInstanceUID")
    except InvalidIdentifier:
        answer.AffectedSOPInstanceUID = None  # optional in the answer (PS3.7 table 9.1-1); not repeated when malformed
    return answer


def _is_idle(assoc: ToolkitAssociation, conversation: _Conversation) -> bool:
    """Whether no message is on its way in, being handled, or on its way out."""
    return (
        assoc.dimse.message is None
        and conversation.received <= conversation.answered
        and assoc.dul.to_provider_queue.empty()
    )


def _abort_all(associations: Iterable[ToolkitAssociation]) -> None:
    threads = [threading.Thread(target=assoc.abort, daemon=True) for assoc in associations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _bind_error(address: tuple[str, int], error: OSError) -> ListenerError:
    host, port = address
    if error.errno == errno.EADDRINUSE:
        return PortBusy(
            f"Port {port} on {host} is already in use; stop the other program or set another [listener] port."
        )
    reason = "the name is unknown" if isinstance(error, socket.gaierror) else error.strerror
    return ListenerError(f"Cannot listen on {host} port {port} ({reason}); correct [listener] host and port.")
