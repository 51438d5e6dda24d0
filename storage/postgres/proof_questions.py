"""The questions for storage commitment, which are needed for as long as a report on them may count."""

from sqlalchemy import delete, func

from storage.postgres.engine import Database
from storage.postgres.tables import CommitmentQuestionRow

_KEPT_DAYS = 90  # archives report hours later; after months a report proves nothing that is still asked


def forget_old_questions(database: Database) -> int:
    """Remove the questions that are older than that; a report on them is one on an unknown transaction.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    too_old = CommitmentQuestionRow.asked_at < func.now() - func.make_interval(0, 0, 0, _KEPT_DAYS)
    with database.transaction() as session:
        gone = session.execute(
            delete(CommitmentQuestionRow).where(too_old).returning(CommitmentQuestionRow.transaction_uid)
        )
        return len(gone.all())
