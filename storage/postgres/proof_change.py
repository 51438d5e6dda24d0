"""Changes of one proof of arrival: each as the table of transitions allows, and with its audit row."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.proof import ProofEvent, ProofState, next_proof_state
from storage.postgres.audit_trail import append
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import DeliveryProofRow

_ACTOR = "prover"


def locked_proofs(session: Session, delivery_ids: Sequence[int]) -> Sequence[Any]:
    """Lock these proofs until the transaction ends, with what is needed to settle and to audit them."""
    return session.execute(statement("asked_proofs"), {"delivery_ids": list(delivery_ids)}).all()


def prove(session: Session, row: Any) -> None:  # noqa: ANN401
    """The destination has the object."""
    change_proof(session, row, ProofEvent.PROVE, {"proven_at": func.now(), "note": "", "reason": None, "absences": 0})
    audit_proof(session, row, AuditAction.DELIVERY_PROVEN, AuditOutcome.SUCCESS)


def give_up_proof(session: Session, row: Any, note: str, reason: int | None) -> None:  # noqa: ANN401
    """Nobody asks any more; ``note`` says why and what an operator does."""
    if row.state == ProofState.UNPROVEN and row.note == stored_text(note):
        return  # the same was said before
    change_proof(session, row, ProofEvent.GIVE_UP, {"note": stored_text(note), "reason": reason})
    audit_proof(session, row, AuditAction.DELIVERY_UNPROVEN, AuditOutcome.SERIOUS_FAILURE, reason=reason, note=note)


def change_proof(session: Session, row: Any, event: ProofEvent, values: dict[str, Any]) -> None:  # noqa: ANN401
    """Move a proof that is locked. Raises InvalidTransition."""
    state = next_proof_state(ProofState(row.state), event)
    session.execute(
        update(DeliveryProofRow)
        .where(DeliveryProofRow.delivery_id == row.delivery_id)
        .values(state=str(state), **values)
    )


def audit_proof(
    session: Session,
    row: Any,  # noqa: ANN401
    action: AuditAction,
    outcome: AuditOutcome,
    actor: str = _ACTOR,
    **details: str | int | float | None,
) -> None:
    """Write down that something became of one object."""
    about = {
        "destination": row.destination,
        "sop_instance_uid": row.sop_instance_uid,
        "way": row.way,
        "asks": row.asks,
    }
    append(session, AuditEvent(action, actor, outcome, row.study_instance_uid, row.job_id, about | details))


def not_wanted(row: Any) -> str:  # noqa: ANN401
    """Why nobody asks where proof was switched off."""
    return (
        f"No [[destinations]] entry of the name {row.destination} has proof set any more, so nobody asks whether the "
        "object is there; set it again and run `overread deliveries prove`, or leave it."
    )
