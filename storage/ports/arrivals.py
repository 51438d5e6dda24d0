"""What receiving asks of the files: a durable spool, and what became of arrivals."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.study import InstanceHeader, KeepOutcome, QuarantineReason, StudySize


class IncomingInstance(Protocol):
    """One data set on its way into the spool; ``keep``, ``quarantine`` or ``discard`` ends it, and only one of them."""

    @property
    def size(self) -> int:
        """How many bytes of the data set have come."""
        ...

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes. They are not copied: leave them as they are until ``spill`` or the end."""
        ...

    def spill(self) -> None:
        """Write what has come to disk, so that its memory is free again; trouble with the disk is told at the end."""
        ...

    def head(self, limit: int) -> bytes:
        """The first bytes of the data set, at most ``limit``."""
        ...

    def discard(self) -> None:
        """Forget it; nothing stays."""
        ...


class InstanceSpool(Protocol):
    """The durable door-step: what it keeps survives a power cut, with or without a database."""

    def receive(self, part10_prefix: bytes) -> IncomingInstance:
        """Begin to take an instance; ``part10_prefix`` (PS3.10 section 7.1) will stand before what is received."""
        ...

    def keep(
        self, incoming: IncomingInstance, header: InstanceHeader, association: Association, received_at: datetime
    ) -> KeepOutcome:
        """Make one instance durable and say what became of it; when this returns, it may be acknowledged.

        On CONFLICT the second object is already in quarantine.

        Raises:
            SpoolFull: the cap or the watermark is reached, or a share of a peer or a study; nothing was kept.
            SpoolWriteFailed: a write or sync failed; it must not be acknowledged, though it may turn up all the same.
        """
        ...

    def quarantine(
        self,
        incoming: IncomingInstance,
        reason: QuarantineReason,
        sop_instance_uid: str,
        study_instance_uid: str,
        association: Association,
        received_at: datetime,
    ) -> None:
        """Set received bytes aside, durably; raises as ``keep`` does."""
        ...

    def record_association(self, association: Association) -> None:
        """Leave a note of an association that ended, for the importer, which makes it durable; raises as ``keep``."""
        ...


class ArrivalLog(Protocol):
    """Rows for what the spool holds."""

    def digests(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """The SHA-256 of each of these instances that has its row. Raises DatabaseUnavailable."""
        ...

    def record(
        self,
        arrivals: Sequence[Arrival],
        quarantined: Sequence[QuarantinedObject],
        associations: Sequence[Association],
    ) -> dict[str, StudySize]:
        """Write everything in one transaction, with its audit rows; recording the same thing twice changes nothing.

        Returns how much is held now of each study that something arrived of, by Study Instance UID.

        Raises:
            DatabaseUnavailable: nothing was written; the spool keeps everything.
        """
        ...

    def sizes(self, study_instance_uids: Collection[str]) -> dict[str, StudySize]:
        """How much is held of each of these studies that has a row. Raises DatabaseUnavailable."""
        ...

    def record_full_study(self, study_instance_uid: str, size: StudySize) -> None:
        """Write the audit row of a study that may have no more. Raises DatabaseUnavailable."""
        ...
