"""Reports that were not believed are counted, and the count is told in the audit trail once an hour."""

from storage.postgres.engine import Database
from storage.postgres.refused_reports import tell_counted


def tell_refused_reports(database: Database) -> int:
    """Write what was counted since it was last told; return how many rows of the audit trail that made.

    Raises:
        DatabaseUnavailable: nothing was written.
    """
    return tell_counted(database)
