"""Storing without the network: from a received data set to a status, with the bytes durable before the answer.

C-STORE and STOW-RS both come here: what is decided about an instance does not depend on the door it came through.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from listener.errors import UnacceptableIdentity
from listener.scp.file_meta import part10_prefix
from listener.scp.instance_header import HEADER_LIMITS, read_header
from listener.scp.status import (
    OUT_OF_RESOURCES,
    SOP_CLASS_NOT_SUPPORTED,
    STATUS_OF_OUTCOME,
    STATUS_OF_REFUSAL,
    Status,
)
from storage.domain.association import Association
from storage.domain.identifiers import checked_uid
from storage.domain.study import InstanceHeader, QuarantineReason
from storage.errors import InvalidIdentifier, SpoolFull, SpoolWriteFailed, UnreadableDataSet
from storage.ports.arrivals import IncomingInstance, InstanceSpool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """One instance to store: a C-STORE request (PS3.7 section 9.1.1.1), or a part of a STOW-RS request.

    ``abstract_syntax_uid`` and ``transfer_syntax_uid`` are those of the presentation context it came in, or of its
    file meta information; ``incoming`` has exactly what was received. ``study_instance_uid`` is set where the sender
    named the study beside the data set, as a STOW-RS request may.
    """

    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax_uid: str
    transfer_syntax_uid: str
    incoming: IncomingInstance
    association: Association
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the sender is told, and what was read of the instance; ``None`` when it could not be read."""

    status: Status
    header: InstanceHeader | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class StoreHandler:
    """Decides on instances; ``wake`` is called when the importer has something to do."""

    def __init__(
        self,
        spool: InstanceSpool,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._spool = spool
        self._wake = wake
        self._clock = clock

    def begin(
        self, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str
    ) -> IncomingInstance:
        """Begin to take the data set of an instance that was announced under these UIDs; never refuses."""
        return self._spool.receive(
            part10_prefix(sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae_title)
        )

    def handle(self, request: StoreRequest) -> Status:
        """Store or refuse; when this returns a success, the instance survives a power cut."""
        return self.decide(request).status

    def decide(self, request: StoreRequest) -> Decision:
        """The same, with what was read of the instance."""
        return self._durably(lambda: self._store(request))

    def refuse(self, request: StoreRequest, reason: QuarantineReason) -> Status:
        """Set aside what the door could not even name, such as a part that is no DICOM file."""
        return self._durably(lambda: Decision(self._refuse(request, reason))).status

    def record_association(self, association: Association) -> None:
        """Leave a note of an association that ended; a full disk costs the note, not the listener."""
        try:
            self._spool.record_association(association)
        except (SpoolFull, SpoolWriteFailed) as error:
            log.error("Association %s could not be recorded: %s", association.association_id, error)
        else:
            self._wake()

    def _durably(self, decide: Callable[[], Decision]) -> Decision:
        try:
            decision = decide()
        except (SpoolFull, SpoolWriteFailed) as error:
            log.error("An instance was refused with 0x%04X: %s", OUT_OF_RESOURCES.code, error)
            return Decision(OUT_OF_RESOURCES)
        self._wake()
        return decision

    def _store(self, request: StoreRequest) -> Decision:
        if request.sop_class_uid != request.abstract_syntax_uid:
            request.incoming.discard()
            return Decision(SOP_CLASS_NOT_SUPPORTED)
        try:
            header = _checked_header(request)
        except UnreadableDataSet:
            return Decision(self._refuse(request, QuarantineReason.UNPARSABLE))
        except UnacceptableIdentity as error:
            return Decision(self._refuse(request, error.reason, error.study_instance_uid))
        outcome = self._spool.keep(request.incoming, header, request.association, self._clock())
        return Decision(STATUS_OF_OUTCOME[outcome], header)

    def _refuse(self, request: StoreRequest, reason: QuarantineReason, study_instance_uid: str = "") -> Status:
        self._spool.quarantine(
            request.incoming,
            reason,
            request.sop_instance_uid,
            study_instance_uid,
            request.association,
            self._clock(),
        )
        status = STATUS_OF_REFUSAL[reason]
        log.warning(
            "An instance on association %s was refused with 0x%04X (%s) and set aside.",
            request.association.association_id,
            status.code,
            reason,
        )
        return status


def _checked_header(request: StoreRequest) -> InstanceHeader:
    try:
        checked_uid(request.sop_instance_uid, "AffectedSOPInstanceUID")
    except InvalidIdentifier as error:
        raise UnacceptableIdentity(QuarantineReason.MALFORMED_IDENTIFIER) from error
    header = _header(request)
    if request.study_instance_uid not in ("", header.study_instance_uid):
        raise UnacceptableIdentity(QuarantineReason.IDENTITY_MISMATCH, header.study_instance_uid)
    return header


def _header(request: StoreRequest) -> InstanceHeader:
    """Read the header in as few bytes as it takes."""
    for limit in HEADER_LIMITS:
        head = request.incoming.head(limit)
        try:
            return read_header(request.sop_class_uid, request.sop_instance_uid, request.transfer_syntax_uid, head)
        except (UnreadableDataSet, UnacceptableIdentity):
            if len(head) < limit or limit == HEADER_LIMITS[-1]:
                raise
    raise AssertionError  # the last limit returns or raises
