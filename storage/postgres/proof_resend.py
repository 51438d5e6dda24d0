"""Sending again what a destination acknowledged and lost: its delivery gets a successor that owes the lost alone.

Where the delivery was given up while it still owed others, nothing is begun by itself: they would be sent again too.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.domain.delivery import SETTLED, DeliveryState
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
    if state is JobState.FAILED and (others := _still_owed(session, job.id, delivery_id)):
        _owe(session, delivery_id)  # for when an operator has it done again
        return (
            f"It is not sent again by itself, because its delivery was given up and still owes {others} other objects; "
            f"send them together with `overread jobs resubmit {job.id}`."
        )
    if state in FINAL_STATES:
        try:
            resubmit(session, job.id, actor, everything=False)
        except InvalidTransition as refusal:
            return f"It is not sent again by itself: {refusal}"
    _owe(session, delivery_id)
    return None


def _still_owed(session: Session, job_id: int, but_for: int) -> int:
    """How many objects of a delivery that ended are not settled."""
    owed = select(func.count(DeliveryRow.id)).where(
        DeliveryRow.job_id == job_id, DeliveryRow.id != but_for, DeliveryRow.state.not_in(list(map(str, SETTLED)))
    )
    return session.scalar(owed) or 0


def _owe(session: Session, delivery_id: int) -> None:
    session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.id == delivery_id)
        .values(state=str(DeliveryState.WAITING), acknowledged_at=None)
    )
