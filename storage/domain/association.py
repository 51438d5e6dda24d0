"""One conversation with a peer: an association (PS3.8 section 7) or a web request; who, when, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AssociationEnd(StrEnum):
    """How an association ended."""

    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"
    REJECTED = "rejected"


class Door(StrEnum):
    """Where a peer came in."""

    DIMSE = "dimse"  # an association; the peer has an AE title
    WEB = "web"  # one HTTP request; the peer has an account


@dataclass(frozen=True, slots=True)
class Association:
    """The facts of one incoming association, or of one web request that brought instances.

    ``association_id`` is ours (a random UUID as text); AE titles and address are as the peer gave them;
    times are aware and in UTC; ``reason`` says why it was rejected or aborted. A web request has no AE titles but
    the ``account`` that made it; it counts as released once it was answered.
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
    door: Door = Door.DIMSE
    account: str = ""
