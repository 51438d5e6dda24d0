"""What a destination lost stays no open question when the delivery that sends it again comes to another end."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.domain.delivery import DeliveryState
from storage.domain.job import JobState
from storage.domain.proof import ProofState
from storage.postgres.proof_change import give_up_proof, locked_proofs, not_wanted
from storage.postgres.tables import DeliveryProofRow, DeliveryRow


def end_lost(session: Session, job_id: int, state: JobState, sentence: str) -> None:
    """Give up the proofs of a delivery job, which the caller has locked and ended, that are lost still.

    ``state`` is how it ended and ``sentence`` the reason, where there was one.
    """
    left = select(DeliveryRow.id).join(DeliveryProofRow, DeliveryProofRow.delivery_id == DeliveryRow.id)
    of_job = left.where(DeliveryRow.job_id == job_id, DeliveryProofRow.state == str(ProofState.LOST))
    delivery_ids = list(session.scalars(of_job))
    if not delivery_ids:
        return
    for row in locked_proofs(session, delivery_ids):
        if row.state == ProofState.LOST:
            give_up_proof(session, row, _why(row, state, sentence), row.reason)


def _why(row: Any, state: JobState, sentence: str) -> str:  # noqa: ANN401
    began = f"Destination {row.destination} acknowledged the object and has it not, and"
    if row.delivery_state == DeliveryState.ACKNOWLEDGED:
        return not_wanted(row)
    if row.delivery_state == DeliveryState.NOT_NEEDED:
        return f"{began} it was not sent again: {row.delivery_note}"
    if row.delivery_state == DeliveryState.REFUSED:
        return (
            f"{began} refused it when it was sent again ({row.delivery_note.rstrip('.')}); look there, then send it "
            f"with `overread jobs resubmit {row.job_id}`."
        )
    ended = "was canceled" if state is JobState.CANCELED else "came to no end"
    return f"{began} sending it again {ended}: {sentence}"
