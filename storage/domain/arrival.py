"""What stands in the spool between the acknowledgement and the rows."""

from dataclasses import dataclass
from datetime import datetime

from storage.domain.association import Association
from storage.domain.study import InstanceHeader, QuarantineReason


@dataclass(frozen=True, slots=True)
class Arrival:
    """One acknowledged instance.

    ``association`` holds the facts known when the instance arrived; the association may still be open.
    ``sha256`` and ``size`` are those of the data set as received, without preamble and file meta information.
    """

    header: InstanceHeader
    sha256: str
    size: int
    association: Association
    received_at: datetime


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
