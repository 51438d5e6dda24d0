"""Priors that routes ask for, in rows."""

from collections.abc import Iterable

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from storage.domain.prior_request import MOST_ATTEMPTS, PriorRequest, PriorRequestState, PriorsRule, pause_seconds
from storage.postgres.engine import Database
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import PriorRequestRow, StudyRow


class PostgresPriorRequests:
    """Implements the port PriorRequests; times are the database's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, archive: str, patience_seconds: float) -> PriorRequest | None:
        """One that is due, for the caller alone; it is due again after ``patience_seconds`` if nobody settles it."""
        due = (
            select(PriorRequestRow.id)
            .where(
                PriorRequestRow.archive == archive,
                PriorRequestRow.state == str(PriorRequestState.WAITING),
                PriorRequestRow.due_at <= func.now(),
            )
            .order_by(PriorRequestRow.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as session:
            request_id = session.scalar(due)
            if request_id is None:
                return None
            row = session.execute(
                update(PriorRequestRow)
                .where(PriorRequestRow.id == request_id, StudyRow.id == PriorRequestRow.study_id)
                .values(attempt=PriorRequestRow.attempt + 1, due_at=_in(patience_seconds))
                .returning(PriorRequestRow, StudyRow.study_instance_uid)
            ).one()
            one: PriorRequestRow = row[0]
            rule = PriorsRule(one.archive, one.modality, one.body_part, one.most, one.within_days)
            return PriorRequest(one.id, row[1], rule, one.attempt)

    def done(self, request_id: int, note: str) -> None:
        """The archive was asked and what it has is here, as ``note`` says in one sentence."""
        with self._database.transaction() as session:
            _end(session, request_id, PriorRequestState.DONE, note)

    def try_later(self, request: PriorRequest, note: str) -> None:
        """It is asked again later, or given up after the last attempt."""
        with self._database.transaction() as session:
            if request.attempt >= MOST_ATTEMPTS:
                _end(session, request.request_id, PriorRequestState.GIVEN_UP, note)
                return
            session.execute(
                update(PriorRequestRow)
                .where(PriorRequestRow.id == request.request_id)
                .values(due_at=_in(pause_seconds(request.attempt)), note=stored_text(note))
            )


def ask_for_priors(session: Session, study_id: int, rules: Iterable[PriorsRule]) -> None:
    """Write down what a study's route asks for; what was asked for before is not asked for again."""
    for rule in rules:
        session.execute(
            upsert(PriorRequestRow)
            .values(
                study_id=study_id,
                archive=rule.archive,
                modality=rule.modality,
                body_part=rule.body_part,
                most=rule.most,
                within_days=rule.within_days,
            )
            .on_conflict_do_nothing()
        )


def _end(session: Session, request_id: int, state: PriorRequestState, note: str) -> None:
    session.execute(
        update(PriorRequestRow)
        .where(PriorRequestRow.id == request_id)
        .values(state=str(state), ended_at=func.now(), note=stored_text(note))
    )


def _in(seconds: float) -> object:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
