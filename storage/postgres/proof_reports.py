"""Reports of storage commitment, believed only from the destination that was asked; each changes something once."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.domain.commitment import Believed, ReceivedReport
from storage.domain.identifiers import same_ae_title
from storage.domain.proof import ObjectAnswer, ProofState, Word, failure_answer
from storage.postgres.engine import Database
from storage.postgres.proof_change import locked_proofs, prove
from storage.postgres.proof_resend import lock_deliveries
from storage.postgres.proof_rows import take_word
from storage.postgres.refused_reports import refuse_report
from storage.postgres.tables import CommitmentQuestionRow

_NOT_NAMED = "The report of the destination does not name the object."
# What a destination holds, or has lost, counts whenever it says so.
_LATE = frozenset({ProofState.OWED, ProofState.ASKED, ProofState.UNPROVEN})


def take_report(database: Database, report: ReceivedReport, *, title_is_listed: bool) -> Believed:
    """Change what the report says of the objects of its question; whoever was not asked changes nothing.

    It is believed from the AE title that was asked, if it comes from an address of the destination, or if a
    [[listener.peers]] entry names that title for where it comes from (``title_is_listed``). Others are audited, many of
    one address as a count.

    Raises:
        DatabaseUnavailable: nothing was changed; take it again later.
    """
    with database.transaction() as session:
        question = session.scalars(
            select(CommitmentQuestionRow)
            .where(CommitmentQuestionRow.transaction_uid == report.transaction_uid)
            .with_for_update()
        ).one_or_none()
        if question is None:
            return refuse_report(session, report, Believed.UNKNOWN_TRANSACTION)
        at_home = title_is_listed or _plain(report.remote_address) in map(_plain, question.addresses)
        if not at_home or not same_ae_title(report.calling_ae_title, question.ae_title):
            return refuse_report(session, report, Believed.NOT_THE_DESTINATION, question.destination)
        session.execute(
            update(CommitmentQuestionRow)
            .where(CommitmentQuestionRow.transaction_uid == report.transaction_uid)
            .values(
                reports=CommitmentQuestionRow.reports + 1,
                reported_at=func.coalesce(CommitmentQuestionRow.reported_at, func.now()),
            )
        )
        lock_deliveries(session, question.delivery_ids)
        for row in locked_proofs(session, question.delivery_ids):
            if row.acknowledged_at is not None and row.acknowledged_at <= question.asked_at:
                _take(session, row, question, report)  # else it was sent again since, and this is not about that
    return Believed.TAKEN


def _take(session: Session, row: Any, question: CommitmentQuestionRow, report: ReceivedReport) -> None:  # noqa: ANN401
    uid = row.sop_instance_uid
    if row.state not in _LATE:
        return  # an earlier report said enough
    if uid in report.committed:
        prove(session, row)
        return
    reason = report.failures.get(uid)
    answer = ObjectAnswer(uid, Word.UNSAID, _NOT_NAMED) if reason is None else failure_answer(uid, reason)
    latest = row.state == ProofState.ASKED and row.request_uid == report.transaction_uid
    if latest or (answer.word is Word.LOST and row.since <= question.asked_at):
        take_word(session, row, answer, policy=None)


def _plain(address: str) -> str:
    """An IPv4 address as such where a socket of both kinds shows it as IPv6."""
    return address.removeprefix("::ffff:")
