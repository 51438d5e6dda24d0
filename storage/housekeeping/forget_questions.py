"""Questions for storage commitment are kept for as long as a report on them may count, and no longer."""

from storage.postgres.engine import Database
from storage.postgres.proof_questions import forget_old_questions


def forget_questions(database: Database) -> int:
    """Remove the questions of which nobody will report any more; return how many.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    return forget_old_questions(database)
