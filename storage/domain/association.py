"""One conversation with a peer (PS3.8 section 7): who, when, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AssociationEnd(StrEnum):
    """How an association ended."""

    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Association:
    """The facts of one incoming association.

    ``association_id`` is ours (a random UUID as text); AE titles and address are as the peer gave them;
    times are aware and in UTC; ``reason`` says why it was rejected or aborted.
    """

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    remote_address: str
    started_at: datetime
    ended_at: datetime | None = None
    end: AssociationEnd = AssociationEnd.OPEN
    stored_count: int = 0
    refused_count: int = 0
    reason: str = ""
