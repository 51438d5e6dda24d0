"""Objects that came back, in rows: who looks at which, and what that came to."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from storage.domain.feedback import Feedback, things_of
from storage.domain.result import EvidenceForm, EvidenceRole
from storage.domain.returned_object import RULES, Look, OwnObject, OwnResult, ReturnedObject, ReturnedOutcome
from storage.domain.study import ExclusionRule
from storage.ports.facts import Facts
from storage.postgres.engine import Database
from storage.postgres.facts import ask
from storage.postgres.feedback_rows import give_feedback
from storage.postgres.statement import statement
from storage.postgres.tables import ReturnedObjectRow

_PATIENCE_SECONDS = 600.0  # after which whoever looked has died
_MOST_LOOKS = 3  # of which all but the last ended with the process, or while the database was away


class PostgresReturnedObjects:
    """Implements the port ReturnedObjects; every method may raise DatabaseUnavailable, and then nothing was changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self) -> ReturnedObject | None:
        """Take the oldest one, for a while; ``None`` when none waits."""
        while True:
            with self._database.transaction() as session:
                row = session.execute(
                    statement("claim_returned"), {"patience_seconds": _PATIENCE_SECONDS}
                ).one_or_none()
                if row is None:
                    return None
                if row.looks <= _MOST_LOOKS:
                    results = ask(session, "shown_results", study_instance_uid=row.study_instance_uid)
                    return _returned(row._mapping, results)
                _end(session, row.instance_id, ReturnedOutcome.GIVEN_UP)

    def settle(self, returned: ReturnedObject, look: Look) -> None:
        """Write what the look came to, with the verdicts in the same transaction; the second time nothing."""
        with self._database.transaction() as session:
            waits = session.execute(
                select(ReturnedObjectRow.instance_id)
                .where(ReturnedObjectRow.instance_id == returned.instance_id, ReturnedObjectRow.outcome.is_(None))
                .with_for_update()
            ).one_or_none()
            if waits is None:
                return
            for said in sorted(look.said):
                source, verdict = RULES[said.rule]
                feedback = Feedback(
                    said.result_id, said.tracking_uid, verdict, source, returned.sender, returned.sop_instance_uid
                )
                give_feedback(session, returned.study_instance_uid, feedback)
            _end(session, returned.instance_id, look.outcome)


def _end(session: Session, instance_id: int, outcome: ReturnedOutcome) -> None:
    session.execute(
        update(ReturnedObjectRow)
        .where(ReturnedObjectRow.instance_id == instance_id)
        .values(outcome=str(outcome), looked_at=func.now())
    )


def _returned(row: Mapping[Any, Any], results: list[Facts]) -> ReturnedObject:
    return ReturnedObject(
        instance_id=row["instance_id"],
        sop_instance_uid=row["sop_instance_uid"],
        sop_class_uid=row["sop_class_uid"],
        study_instance_uid=row["study_instance_uid"],
        sender=row["sender"],
        sha256=row["sha256"],
        size=row["size"],
        is_own=row["excluded_rule"] == ExclusionRule.OWN_RESULT,
        results=tuple(_own(result) for result in results),
    )


def _own(result: Facts) -> OwnResult:
    return OwnResult(
        result["result_id"],
        frozenset(thing.tracking_uid for thing in things_of(result["findings"])),
        tuple(
            OwnObject(EvidenceRole(one["role"]), EvidenceForm(one["form"]), one["sop_instance_uid"], one["sha256"])
            for one in result["evidence"]
        ),
    )
