"""Reading the chain of audit rows, and what guards it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
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


def guard(database: Database) -> Guard:
    """Look at triggers and rights.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    with database.transaction() as session:
        found = session.execute(statement("audit_guard")).one()
    broken = tuple(
        f"The trigger {name} of audit_event is off or gone, so rows can be changed; find out who did that."
        for name in found.disabled_triggers
    )
    remedy = "give the service a role of its own (docs/reference/database-roles.md)"
    if found.superuser:
        return Guard(broken, (f"The role {found.role} is a superuser and could undo the audit trail; {remedy}.",))
    if found.owner:
        return Guard(broken, (f"The role {found.role} owns audit_event and could undo the audit trail; {remedy}.",))
    if found.may_change:
        return Guard(broken, (f"The role {found.role} holds rights to change the audit trail; {remedy}.",))
    return Guard(broken, ())
