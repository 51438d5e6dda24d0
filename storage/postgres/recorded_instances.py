"""Which bytes the rows say are held: what a check from outside compares with the files and with the senders' word."""

from sqlalchemy import func, select

from storage.domain.study import QuarantineReason
from storage.postgres.engine import Database
from storage.postgres.tables import InstanceRow, QuarantinedObjectRow


def recorded_digests(database: Database) -> dict[str, str]:
    """SOP Instance UID and SHA-256 of every instance; raises DatabaseUnavailable."""
    with database.transaction() as session:
        return {row[0]: row[1] for row in session.execute(select(InstanceRow.sop_instance_uid, InstanceRow.sha256))}


def recorded_count(database: Database) -> int:
    """How many instances have a row; raises DatabaseUnavailable."""
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(InstanceRow)) or 0


def quarantined_digests(database: Database) -> set[tuple[str, str]]:
    """SOP Instance UID and SHA-256 of everything whole that was set aside; raises DatabaseUnavailable.

    What a crash cut short is no second state of an instance that was sent again, so it is left out.
    """
    wanted = select(QuarantinedObjectRow.sop_instance_uid, QuarantinedObjectRow.sha256)
    with database.transaction() as session:
        rows = session.execute(wanted.where(QuarantinedObjectRow.reason != QuarantineReason.DAMAGED))
        return {(row[0], row[1]) for row in rows}
