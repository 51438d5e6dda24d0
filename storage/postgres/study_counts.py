"""The counts of archives in rows: which are wanted, which are being asked for, what came of it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from storage.domain.completeness import ArchiveCount, CountQuestion
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.tables import StudyCountRow

_AGAIN_SECONDS = 60.0  # between two questions about a study that nothing arrived of
_PATIENCE_SECONDS = 120.0  # after which whoever asks has died
_MOST_AT_ONCE = 50


class PostgresStudyCounts:
    """Implements the port StudyCounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, destination: str) -> tuple[CountQuestion, ...]:
        """Take what this archive is to be asked now; what is not settled is due again a little later.

        Raises:
            DatabaseUnavailable: nothing was taken.
        """
        wanted = {"destination": destination, "patience_seconds": _PATIENCE_SECONDS, "most": _MOST_AT_ONCE}
        with self._database.transaction() as session:
            rows = session.execute(statement("claim_counts"), wanted).all()
        return tuple(CountQuestion(row.study_id, row.study_instance_uid, destination, row.asked_at) for row in rows)

    def settle(self, question: CountQuestion, instances: int | None, note: str = "") -> None:
        """Write how many instances the archive has, or why it did not say; an older number then stays.

        Raises:
            DatabaseUnavailable: it is asked again.
        """
        answer: dict[str, Any] = {"due_at": None, "note": note}
        if instances is not None:
            answer |= {"instances": instances, "counted_at": question.asked_at}
        with self._database.transaction() as session:
            session.execute(
                update(StudyCountRow)
                .where(
                    StudyCountRow.study_id == question.study_id,
                    StudyCountRow.destination == question.destination,
                    StudyCountRow.asked_at == question.asked_at,
                )
                .values(**answer)
            )


def want_counts(session: Session, study_id: int, destinations: Iterable[str]) -> None:
    """Have these archives asked about a study that waits, if their answer is missing or old."""
    for destination in sorted(destinations):
        wanted = {"study_id": study_id, "destination": destination, "again_seconds": _AGAIN_SECONDS}
        session.execute(statement("want_count"), wanted)


def known_counts(session: Session, study_id: int, destinations: Iterable[str]) -> list[ArchiveCount]:
    """What these archives said of a study so far."""
    rows = session.execute(statement("study_counts"), {"study_id": study_id, "destinations": sorted(destinations)})
    return [
        ArchiveCount(
            row.destination,
            None if row.instances is None else max(0, row.instances - row.ours),
            row.here,
            row.since,
            row.note,
        )
        for row in rows
    ]


def forget_counts(session: Session, study_id: int) -> None:
    """The study has settled: what archives said of it is old when something more arrives."""
    session.execute(delete(StudyCountRow).where(StudyCountRow.study_id == study_id))
