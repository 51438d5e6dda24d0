"""Which evidence is still owed to which destination, and what became of each attempt to send it."""

from collections.abc import Sequence

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.delivery import SETTLED, DeliveryStanding, DeliveryState, SendOutcome, Verdict
from storage.domain.job import ClaimedJob, Outcome
from storage.domain.result import DELIVERY_ORDER, EvidenceForm, EvidenceRole, FrozenEvidence
from storage.errors import UnknownRecord
from storage.ports.objects import EvidenceStore
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.held_job import HeldJob
from storage.postgres.proof_rows import owe_proof
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import DeliveryRow, EvidenceRow, JobRow, ResultRow

_STATE_AFTER = {
    Verdict.DELIVERED: DeliveryState.ACKNOWLEDGED,
    Verdict.TRY_AGAIN: DeliveryState.WAITING,
    Verdict.REFUSED: DeliveryState.REFUSED,
    Verdict.NOT_NEEDED: DeliveryState.NOT_NEEDED,
}
_OPEN = tuple(sorted(str(state) for state in DeliveryState if state not in SETTLED))
_AUDIT_AFTER = {
    Verdict.DELIVERED: (AuditAction.DELIVERY_ACKNOWLEDGED, AuditOutcome.SUCCESS),
    Verdict.REFUSED: (AuditAction.DELIVERY_REFUSED, AuditOutcome.SERIOUS_FAILURE),
}


class PostgresDeliveryLog:
    """Implements the port DeliveryLog."""

    def __init__(self, database: Database, evidence_store: EvidenceStore) -> None:
        self._database = database
        self._evidence_store = evidence_store

    def undelivered(self, job: ClaimedJob) -> tuple[FrozenEvidence, ...]:
        """The instances of this delivery not yet settled, in the order they must be sent.

        Raises:
            DatabaseUnavailable: try again later.
        """
        order = case({str(role): place for role, place in DELIVERY_ORDER.items()}, value=EvidenceRow.role)
        with self._database.transaction() as session:
            rows = session.execute(
                select(EvidenceRow, JobRow.outcome)
                .join(DeliveryRow, DeliveryRow.evidence_id == EvidenceRow.id)
                .join(ResultRow, ResultRow.id == EvidenceRow.result_id)
                .join(JobRow, JobRow.id == ResultRow.job_id)
                .where(DeliveryRow.job_id == job.job_id, DeliveryRow.state.in_(_OPEN))
                .order_by(order, EvidenceRow.id)
            ).all()
        return tuple(
            FrozenEvidence(
                role=EvidenceRole(row.role),
                sop_class_uid=row.sop_class_uid,
                sop_instance_uid=row.sop_instance_uid,
                series_instance_uid=row.series_instance_uid,
                transfer_syntax_uid=row.transfer_syntax_uid,
                path=self._evidence_store.evidence(row.sha256),
                sha256=row.sha256,
                size=row.size,
                form=EvidenceForm(row.form),
                analysed=outcome == str(Outcome.ANALYSED),
            )
            for row, outcome in rows
        )

    def standing(self, job: ClaimedJob) -> DeliveryStanding:
        """Which forms the destination acknowledged an instance of.

        Raises:
            DatabaseUnavailable: try again later.
        """
        with self._database.transaction() as session:
            taken = session.scalars(
                select(EvidenceRow.form)
                .distinct()
                .join(DeliveryRow, DeliveryRow.evidence_id == EvidenceRow.id)
                .where(DeliveryRow.job_id == job.job_id, DeliveryRow.state == str(DeliveryState.ACKNOWLEDGED))
            ).all()
        return DeliveryStanding(frozenset(map(EvidenceForm, taken)))


def record_outcomes(session: Session, job: HeldJob, outcomes: Sequence[SendOutcome]) -> None:
    """Write what became of each instance; one that was acknowledged stays so whatever is said later.

    Raises:
        UnknownRecord: an outcome names an instance that this delivery does not owe.
    """
    for outcome in outcomes:
        delivery_id = _delivery_id(session, job, outcome.sop_instance_uid)
        delivered = outcome.verdict is Verdict.DELIVERED
        changed = session.execute(
            update(DeliveryRow)
            .where(DeliveryRow.id == delivery_id, DeliveryRow.state != str(DeliveryState.ACKNOWLEDGED))
            .values(
                state=str(_STATE_AFTER[outcome.verdict]),
                attempts=DeliveryRow.attempts + int(_left_us(outcome)),
                status=outcome.status,
                note=stored_text(outcome.note),
                acknowledged_at=func.now() if delivered else None,
            )
            .returning(DeliveryRow.id)
        ).one_or_none()
        if changed is not None and outcome.verdict in _AUDIT_AFTER:
            append(session, _event(job, outcome))
        if changed is not None and delivered and outcome.proof is not None:
            owe_proof(session, delivery_id, job.destination, outcome.proof)


def _left_us(outcome: SendOutcome) -> bool:
    return outcome.went_out and outcome.offered and outcome.verdict is not Verdict.NOT_NEEDED


def owed(session: Session, job: HeldJob) -> int:
    """How many instances of this delivery are not settled."""
    return (
        session.scalar(
            select(func.count())
            .select_from(DeliveryRow)
            .where(DeliveryRow.job_id == job.job_id, DeliveryRow.state.in_(_OPEN))
        )
        or 0
    )


def _delivery_id(session: Session, job: HeldJob, sop_instance_uid: str) -> int:
    delivery_id = session.scalar(
        select(DeliveryRow.id)
        .join(EvidenceRow, EvidenceRow.id == DeliveryRow.evidence_id)
        .where(DeliveryRow.job_id == job.job_id, EvidenceRow.sop_instance_uid == sop_instance_uid)
    )
    if delivery_id is None:
        raise UnknownRecord(f"Delivery job {job.job_id} does not owe instance {sop_instance_uid}; nothing was changed.")
    return delivery_id


def _event(job: HeldJob, outcome: SendOutcome) -> AuditEvent:
    action, audit_outcome = _AUDIT_AFTER[outcome.verdict]
    return AuditEvent(
        action,
        job.worker,
        audit_outcome,
        job.study_instance_uid,
        job.job_id,
        {
            "destination": job.destination,
            "sop_instance_uid": outcome.sop_instance_uid,
            "status": outcome.status,
            "note": outcome.note,
        },
    )
