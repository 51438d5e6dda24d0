"""Keeps what an archive gives, as whatever else arrives: the same checks, the same spool, the same quarantine."""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from listener.scp.store import StoreHandler, StoreRequest
from storage.domain.association import Association, AssociationEnd

_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Visit:
    """An association on which an archive gives instances of one study by C-GET."""

    calling_ae_title: str  # the archive's
    called_ae_title: str  # the name of ours under which they count as received
    address: str
    study_instance_uid: str


class Keeping:
    """Takes the instances of one visit; what it answers with success survives a power cut."""

    def __init__(self, handler: StoreHandler, visit: Visit) -> None:
        self.handler = handler
        self.visit = visit
        self.association = Association(
            association_id=str(uuid.uuid4()),
            calling_ae_title=visit.calling_ae_title,
            called_ae_title=visit.called_ae_title,
            remote_address=visit.address,
            started_at=datetime.now(UTC),
        )
        self.taken = 0
        self.refused = 0

    def take(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        abstract_syntax_uid: str,
        transfer_syntax_uid: str,
        data_set: memoryview,
    ) -> int:
        """Store or refuse a data set and return the status of the C-STORE that brought it.

        An instance of another study than was asked for is set aside.
        """
        incoming = self.handler.begin(sop_class_uid, sop_instance_uid, transfer_syntax_uid, self.visit.calling_ae_title)
        try:
            for start in range(0, len(data_set), _PIECE_BYTES):
                incoming.add(bytes(data_set[start : start + _PIECE_BYTES]))
                incoming.spill()
        except BaseException:
            incoming.discard()
            raise
        status = self.handler.handle(
            StoreRequest(
                sop_class_uid,
                sop_instance_uid,
                abstract_syntax_uid,
                transfer_syntax_uid,
                incoming,
                self.association,
                self.visit.study_instance_uid,
            )
        )
        self.taken += status.code == 0
        self.refused += status.code != 0
        return status.code

    def close(self, broken: str = "") -> None:
        """Leave the note of this conversation; ``broken`` says why it did not come to its end."""
        self.handler.record_association(
            replace(
                self.association,
                ended_at=datetime.now(UTC),
                end=AssociationEnd.ABORTED if broken else AssociationEnd.RELEASED,
                stored_count=self.taken,
                refused_count=self.refused,
                reason=broken,
            )
        )
