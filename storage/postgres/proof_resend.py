"""Sending again what a destination acknowledged and lost: its delivery gets a successor that owes the lost alone."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.domain.delivery import DeliveryState
from storage.domain.job import FINAL_STATES, JobState
from storage.errors import InvalidTransition
from storage.postgres.job_operation import resubmit
from storage.postgres.tables import DeliveryRow, JobRow


class DeliveryInHand(Exception):
    """A worker has the delivery and has read what it owes; the object can be owed again once that job has ended."""


def lock_deliveries(session: Session, delivery_ids: list[int]) -> None:
    """Lock the jobs that these deliveries belong to; whoever settles a job locks it before its proofs too."""
    jobs = select(DeliveryRow.job_id).where(DeliveryRow.id.in_(delivery_ids))
    session.execute(select(JobRow.id).where(JobRow.id.in_(jobs)).order_by(JobRow.id).with_for_update())


def send_again(session: Session, delivery_id: int, actor: str) -> str | None:
    """Let a lost object be owed again; ``None``, or the sentence why it is not sent again by itself.

    Several objects that one delivery lost share its one successor.

    Raises:
        DeliveryInHand: nothing was changed.
    """
    job = session.execute(
        select(JobRow.id, JobRow.state)
        .join(DeliveryRow, DeliveryRow.job_id == JobRow.id)
        .where(DeliveryRow.id == delivery_id)
        .with_for_update(of=JobRow)  # an operator may have given it another one since
    ).one()
    state = JobState(job.state)
    if state is JobState.IN_PROGRESS:
        raise DeliveryInHand
    if state is JobState.CANCELED:
        return f"An operator canceled its delivery; send it again with `overread jobs resubmit {job.id}`."
    if state in FINAL_STATES:
        try:
            resubmit(session, job.id, actor, everything=False)
        except InvalidTransition as refusal:
            return f"It is not sent again by itself: {refusal}"
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery_id)
        .values(state=str(DeliveryState.WAITING), acknowledged_at=None)
    )
    return None
