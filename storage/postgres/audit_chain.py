"""Reading the chain of audit rows, and what guards it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from storage.domain.audit_chain import ChainEnd, ChainRow
from storage.errors import StorageError
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.tables import AuditEventRow, AuditHeadRow

_ROWS_AT_ONCE = 5000


class ChainSnapshot:
    """The chain as it is at one moment, however long it is read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def head(self) -> ChainEnd:
        """What the database remembers of the end of the chain. Raises StorageError when it remembers nothing."""
        found = self._session.execute(select(AuditHeadRow.rows, AuditHeadRow.row_hash)).one_or_none()
        if found is None:
            raise StorageError(
                "The row of the table audit_head is gone; somebody removed it. No audit row can be added."
            )
        return ChainEnd(found.rows, bytes(found.row_hash))

    def rows(self) -> Iterator[ChainRow]:
        """Every row in order, a few thousand at a time."""
        streamed = {"yield_per": _ROWS_AT_ONCE}
        for row in self._session.execute(statement("read_audit_chain"), execution_options=streamed):
            yield row.id, bytes(row.prev_hash), bytes(row.row_hash), row.canonical

    def row_hash(self, row_id: int) -> bytes | None:
        """The hash of one row, or ``None`` when it is not there."""
        found = self._session.scalar(select(AuditEventRow.row_hash).where(AuditEventRow.id == row_id))
        return None if found is None else bytes(found)


@contextmanager
def chain_snapshot(database: Database) -> Iterator[ChainSnapshot]:
    """One unchanging look at the chain.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    with database.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield ChainSnapshot(session)


@dataclass(frozen=True, slots=True)
class Guard:
    """What keeps audit rows from being changed: what is broken, and what the connected role could break; sentences."""

    broken: tuple[str, ...]
    weak: tuple[str, ...]
    role: str
    may_add: bool

    @property
    def assurance(self) -> str:
        """What the connected role can do to the trail, where that is no more than it should."""
        if self.broken or self.weak:
            return ""
        may = "can add audit rows, and" if self.may_add else "can add no audit rows, and"
        return f"The role {self.role} {may} can neither change nor remove any."


def guard(database: Database) -> Guard:
    """Look at triggers and rights.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    with database.transaction() as session:
        found = session.execute(statement("audit_guard")).one()
    broken = tuple(
        f"The trigger {name} of audit_event is off or gone, so rows can be changed; find out who did that, then let "
        f"the owner run `ALTER TABLE audit_event ENABLE ALWAYS TRIGGER {name}` (docs/reference/audit-trail.md)."
        for name in found.disabled_triggers
    )
    excess = _excess(found)
    remedy = "give the service a role of its own (docs/reference/database-roles.md)"
    weak = (f"The role {found.role} {excess}; {remedy}.",) if excess else ()
    return Guard(broken, weak, found.role, found.may_add)


def _excess(found: Row[Any]) -> str:
    if found.superuser:
        return "is a superuser and could undo the audit trail"
    if found.owner:
        return "owns audit_event and could undo the audit trail"
    return "holds rights to change the audit trail" if found.may_change else ""
