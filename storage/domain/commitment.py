"""Storage Commitment: a peer asks whether we take charge of instances, and is told (PS3.4 annex J)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that a peer asks about."""

    sop_class_uid: str
    sop_instance_uid: str

    @property
    def key(self) -> str:
        """The one name of both: an instance may be asked about under a right and a wrong SOP Class."""
        return f"{self.sop_class_uid} {self.sop_instance_uid}"


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What a peer asked, and who it is; titles and address are as the peer gave them."""

    transaction_uid: str
    references: tuple[Reference, ...]
    calling_ae_title: str
    called_ae_title: str
    remote_address: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What the peer is told: a Failure Reason (PS3.3 section C.14.1.1) for each of these keys of references.

    All others are committed to.
    """

    request: CommitmentRequest
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """What somebody told us of a request of ours, and who says so; titles and address are as the peer gave them.

    ``committed`` are SOP Instance UIDs; ``failures`` has a Failure Reason (PS3.3 section C.14.1.1) for others.
    """

    transaction_uid: str
    committed: frozenset[str]
    failures: dict[str, int]
    calling_ae_title: str
    remote_address: str


class Believed(StrEnum):
    """What became of a report."""

    TAKEN = "taken"
    UNKNOWN_TRANSACTION = "unknown-transaction"  # nobody here asked that
    NOT_THE_DESTINATION = "not-the-destination"  # somebody else was asked that


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """What the rows say of an instance."""

    sop_class_uid: str
    sha256: str
