"""What the rows say of single instances."""

from collections.abc import Collection

from sqlalchemy import select

from storage.domain.commitment import HeldInstance
from storage.postgres.engine import Database
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import InstanceRow


class PostgresHeldInstances:
    """Implements the port HeldInstances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, sop_instance_uids: Collection[str]) -> dict[str, HeldInstance]:
        """The instances of these UIDs that have a row, by UID. Raises DatabaseUnavailable."""
        wanted = [stored_text(uid) for uid in sop_instance_uids]
        with self._database.transaction() as session:
            rows = session.execute(
                select(InstanceRow.sop_instance_uid, InstanceRow.sop_class_uid, InstanceRow.sha256).where(
                    InstanceRow.sop_instance_uid.in_(wanted)
                )
            )
            return {row[0]: HeldInstance(row[1], row[2]) for row in rows}
