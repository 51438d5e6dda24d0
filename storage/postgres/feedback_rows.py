"""Verdicts on our results in rows."""

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.feedback import Agreement, Feedback, things_of
from storage.errors import UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.facts import ask
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import AlgorithmRow, FeedbackRow


class PostgresFeedbackBook:
    """Implements the port FeedbackBook; every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, study_instance_uid: str, feedback: Feedback, address: str = "") -> bool:
        """Write a verdict with its audit row; ``False`` where the newest one on the finding says the same already.

        Raises:
            UnknownRecord: the study has no such result, or the result no such finding.
        """
        with self._database.transaction() as session:
            return give_feedback(session, study_instance_uid, feedback, address)

    def of_study(self, study_instance_uid: str) -> list[Facts]:
        """Every verdict on the results of a study, in the order in which they were given."""
        with self._database.transaction() as session:
            return ask(session, "study_feedback", study_instance_uid=study_instance_uid)

    def given(
        self, *, algorithm: str | None, study_instance_uid: str | None, verdict: str | None, rows: int
    ) -> list[Facts]:
        """The newest verdicts, each with what its finding is and says; of one algorithm, study or kind if given."""
        asked = {"algorithm": algorithm, "study_instance_uid": study_instance_uid, "verdict": verdict, "rows": rows}
        with self._database.transaction() as session:
            found = ask(session, "feedback_list", **asked)
        return [_named(row) for row in found]

    def agreement(self, name: str | None = None) -> list[Facts]:
        """Each version of every algorithm, or of one, with its results and what was said of them.

        Raises:
            UnknownRecord: no algorithm has this name.
        """
        with self._database.transaction() as session:
            if name is not None and session.scalar(select(AlgorithmRow.id).where(AlgorithmRow.name == name)) is None:
                raise UnknownRecord(f"No algorithm {name} is installed; see `overread algorithms list`.")
            return [_with_share(row) for row in ask(session, "feedback_agreement", algorithm=name)]


def give_feedback(session: Session, study_instance_uid: str, feedback: Feedback, address: str = "") -> bool:
    """The same in the caller's transaction."""
    only = {"study_instance_uid": study_instance_uid, "result_id": feedback.result_id}
    row = session.execute(statement("judged_result"), only).one_or_none()
    if row is None:
        raise UnknownRecord(f"Study {study_instance_uid} has no result {feedback.result_id} that can be judged.")
    if feedback.tracking_uid not in {thing.tracking_uid for thing in things_of(row.findings)}:
        raise UnknownRecord(f"Result {feedback.result_id} has no finding with this Tracking UID; ask for those it has.")
    values = {
        "result_id": feedback.result_id,
        "tracking_uid": feedback.tracking_uid,
        "verdict": str(feedback.verdict),
        "source": str(feedback.source),
        "sop_instance_uid": feedback.sop_instance_uid,
        "actor": stored_text(feedback.actor),
    }
    if _newest(session, feedback) == values:
        return False
    session.execute(insert(FeedbackRow).values(values))
    details: dict[str, str | int | float | None] = {
        "result_id": feedback.result_id,
        "tracking_uid": feedback.tracking_uid,
        "verdict": str(feedback.verdict),
        "source": str(feedback.source),
    }
    details |= {"sop_instance_uid": feedback.sop_instance_uid} if feedback.sop_instance_uid else {}
    details |= {"address": address} if address else {}
    append(
        session,
        AuditEvent(AuditAction.FEEDBACK_GIVEN, feedback.actor, study_instance_uid=study_instance_uid, details=details),
    )
    return True


def _newest(session: Session, feedback: Feedback) -> Facts | None:
    row = session.scalars(
        select(FeedbackRow)
        .where(FeedbackRow.result_id == feedback.result_id, FeedbackRow.tracking_uid == feedback.tracking_uid)
        .order_by(FeedbackRow.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    columns = ("result_id", "tracking_uid", "verdict", "source", "sop_instance_uid", "actor")
    return {column: getattr(row, column) for column in columns}


def _named(row: Facts) -> Facts:
    """A verdict with the name of its finding and what the result says of it, in the place of the stored finding."""
    (thing,) = things_of([row["finding"]] if row["finding"] is not None else [])
    named: Facts = {}
    for key, value in row.items():
        named |= {"finding": thing.name, "said": thing.said} if key == "finding" else {key: value}
    return named


def _with_share(row: Facts) -> Facts:
    """A row of the table with what follows from its counts."""
    counts = {name: row[name] for name in ("results", "findings", "accepted", "rejected", "changed")}
    agreement = Agreement(**counts)
    low, high = agreement.interval or (None, None)
    return {
        **{name: row[name] for name in ("name", "version", "stage")},
        "results": row["results"],
        "findings": row["findings"],
        "judged": agreement.judged,
        "accepted": row["accepted"],
        "rejected": row["rejected"],
        "changed": row["changed"],
        "share": agreement.share,
        "low": low,
        "high": high,
    }
