"""What stands in the spool between the acknowledgement and the rows."""

from dataclasses import dataclass
from datetime import datetime

from storage.domain.ai_object import AiDeclaration
from storage.domain.association import Association
from storage.domain.first_reading import FirstReading
from storage.domain.image_record import ImageRecord
from storage.domain.series_attributes import SeriesAttributes
from storage.domain.study import InstanceHeader, QuarantineReason


@dataclass(frozen=True, slots=True)
class Arrival:
    """One acknowledged instance whose bytes have been read again.

    ``association`` holds the facts known when the instance arrived; the association may still be open.
    ``sha256`` and ``size`` are those of the data set as received, without preamble and file meta information.
    """

    header: InstanceHeader
    sha256: str
    size: int
    association: Association
    received_at: datetime
    image: ImageRecord | None = None
    declares: AiDeclaration | None = None
    attributes: SeriesAttributes | None = None


@dataclass(frozen=True, slots=True)
class SpooledInstance:
    """One acknowledged instance as it waits; ``fingerprint`` is the BLAKE3 of what ``Arrival.sha256`` is of."""

    header: InstanceHeader
    fingerprint: str
    size: int
    association: Association
    received_at: datetime

    def arrived(self, sha256: str, reading: FirstReading) -> Arrival:
        """What the rows say of it, once its bytes were found to be those with the fingerprint."""
        facts = self.header, sha256, self.size, self.association, self.received_at
        return Arrival(*facts, reading.image, reading.declares, reading.attributes)


@dataclass(frozen=True, slots=True)
class QuarantinedObject:
    """Received bytes that were set aside; ``quarantine_id`` names the file, ``sop_instance_uid`` is as claimed.

    ``sop_instance_uid`` is empty when the claimed one does not follow the Standard.
    """

    quarantine_id: str
    reason: QuarantineReason
    sop_instance_uid: str
    study_instance_uid: str  # empty when it could not be read
    sha256: str
    size: int
    association: Association
    received_at: datetime
