"""Handing a result to a destination, instance by instance."""

from dataclasses import dataclass
from enum import StrEnum

from storage.domain.proof import ProofState, ProofWay, ProofWish
from storage.domain.result import EvidenceForm


class DeliveryState(StrEnum):
    """Where one instance stands on its way to one destination."""

    WAITING = "waiting"  # not yet acknowledged; its job says when the next try is
    ACKNOWLEDGED = "acknowledged"  # the destination answered success or a warning for these bytes
    REFUSED = "refused"  # the destination refused it for good; an operator decides
    CANCELED = "canceled"  # an operator stopped it
    NOT_NEEDED = "not-needed"  # the destination has the same in another form, or shows nothing of the kind


SETTLED = frozenset({DeliveryState.ACKNOWLEDGED, DeliveryState.NOT_NEEDED})


@dataclass(frozen=True, slots=True)
class DeliveryStanding:
    """What is known of a delivery before it is tried.

    ``taken`` are the forms that the destination has an instance of; ``holds_back`` says whether what refers to an
    instance waits for as long as that one has to be tried again.
    """

    taken: frozenset[EvidenceForm] = frozenset()
    holds_back: bool = True


class Verdict(StrEnum):
    """What an answer from a destination means for us."""

    DELIVERED = "delivered"
    TRY_AGAIN = "try-again"
    REFUSED = "refused"
    NOT_NEEDED = "not-needed"


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What came of sending one instance.

    ``status`` is the DIMSE status (PS3.7 annex C) or ``None`` when no answer came; ``note`` is one sentence
    for an operator and never repeats text from the peer; ``offered`` is false where nothing could be sent at all.
    ``went_out`` is false where this instance did not leave us at this attempt, whatever the reason.
    ``out_of_reach`` is true where the destination itself could not be had, whatever was to be sent.
    ``proof`` says how the destination is to be asked later whether it still has what was delivered, ``wait_seconds``
    how long it wants to be left alone before it is tried again.
    """

    sop_instance_uid: str
    verdict: Verdict
    status: int | None
    note: str
    offered: bool = True
    proof: ProofWish | None = None
    out_of_reach: bool = False
    wait_seconds: float = 0.0
    went_out: bool = True


def how_far(state: str, attempts: int, status: int | None, proof_state: str | None, proof_way: str | None) -> str:
    """One word for how far an object is: waiting, sent, put-off, acknowledged, found, committed, lost, unproven, …

    ``attempts`` are those at which it left us and ``status`` is what the destination answered to the latest, if it did.
    ``proof_state`` and ``proof_way`` are ``None`` where nothing is to prove it.
    """
    if state == DeliveryState.WAITING:
        if proof_state in (ProofState.LOST, ProofState.UNPROVEN):
            return str(proof_state)
        if not attempts:
            return "waiting"
        return "sent" if status is None else "put-off"
    if state == DeliveryState.ACKNOWLEDGED and proof_state == ProofState.PROVEN:
        return "committed" if proof_way == ProofWay.COMMITMENT else "found"
    if state in SETTLED and proof_state == ProofState.UNPROVEN:
        return "unproven"
    return str(state)
