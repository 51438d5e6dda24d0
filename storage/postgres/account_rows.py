"""Local accounts as rows: who there is, and every change with its audit row."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.account import Account, Credential, Role, is_account_name
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import AccountRefused, UnknownRecord
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.tables import AccountRow, WebSessionRow


class PostgresAccountDirectory:
    """Implements the port AccountDirectory; every method may raise DatabaseUnavailable, and then nothing changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, password_hash: str, roles: frozenset[Role], actor: str) -> None:
        """Make an account.

        Raises:
            AccountRefused: the name cannot be one, is taken, or no role is given.
        """
        if not is_account_name(name):
            raise AccountRefused(
                "An account's name has small letters, digits, dots, hyphens and underscores only, at most 64; "
                "choose such a name."
            )
        _refuse_no_role(roles)
        with self._database.transaction() as session:
            added = session.execute(
                insert(AccountRow)
                .values(name=name, password_hash=password_hash, roles=sorted(roles))
                .on_conflict_do_nothing(index_elements=["name"])
                .returning(AccountRow.id)
            ).one_or_none()
            if added is None:
                raise AccountRefused(
                    f"There is an account {name} already; change it with `overread users password`, `roles` or "
                    "`enable`, or choose another name."
                )
            append(session, _event(AuditAction.USER_ADDED, name, actor, roles=" ".join(sorted(roles))))

    def all(self) -> tuple[Account, ...]:
        """Every account by name, disabled ones too."""
        with self._database.transaction() as session:
            rows = session.scalars(select(AccountRow).order_by(AccountRow.name)).all()
        return tuple(
            Account(row.name, _roles(row.roles), row.created_at, row.disabled_at, row.last_login_at) for row in rows
        )

    def disable(self, name: str, actor: str) -> None:
        """Let the account log in no more and end its sessions at once; one that is disabled already stays so.

        Raises:
            UnknownRecord: no such account.
        """
        with self._database.transaction() as session:
            account = _locked(session, name)
            _end_sessions(session, account.id)
            if account.disabled_at is None:
                _change(session, account.id, disabled_at=func.now())
                append(session, _event(AuditAction.USER_DISABLED, name, actor))

    def enable(self, name: str, actor: str) -> None:
        """Let a disabled account log in again.

        Raises:
            UnknownRecord: no such account.
        """
        with self._database.transaction() as session:
            account = _locked(session, name)
            if account.disabled_at is not None:
                _change(session, account.id, disabled_at=None)
                append(session, _event(AuditAction.USER_CHANGED, name, actor, change="enabled"))

    def set_password(self, name: str, password_hash: str, actor: str) -> None:
        """Give the account another password and end its sessions.

        Raises:
            UnknownRecord: no such account.
        """
        with self._database.transaction() as session:
            account = _locked(session, name)
            _end_sessions(session, account.id)
            _change(session, account.id, password_hash=password_hash)
            append(session, _event(AuditAction.USER_CHANGED, name, actor, change="password"))

    def set_roles(self, name: str, roles: frozenset[Role], actor: str) -> None:
        """Give the account these roles instead of those it had; sessions under way have them with their next request.

        Raises:
            UnknownRecord: no such account.
            AccountRefused: no role is given.
        """
        _refuse_no_role(roles)
        with self._database.transaction() as session:
            account = _locked(session, name)
            before = " ".join(account.roles)
            _change(session, account.id, roles=sorted(roles))
            append(
                session,
                _event(AuditAction.USER_CHANGED, name, actor, change="roles", before=before, after=_listed(roles)),
            )

    def credential(self, name: str) -> Credential | None:
        """What a login under this name is checked against; ``None`` when there is no such account."""
        if not is_account_name(name):
            return None
        with self._database.transaction() as session:
            row = session.scalar(select(AccountRow).where(AccountRow.name == name))
        return None if row is None else credential_of(row)

    def rehash(self, credential: Credential, password_hash: str) -> None:
        """Replace the hash of a password by a stronger one of the same password, unless it changed meanwhile."""
        with self._database.transaction() as session:
            session.execute(
                update(AccountRow)
                .where(AccountRow.name == credential.name, AccountRow.password_hash == credential.password_hash)
                .values(password_hash=password_hash)
            )


def credential_of(row: AccountRow) -> Credential:
    """An account's row as a login is checked against it."""
    return Credential(row.name, _roles(row.roles), row.password_hash, row.disabled_at is not None)


def _locked(session: Session, name: str) -> AccountRow:
    row = session.scalar(select(AccountRow).where(AccountRow.name == name).with_for_update())
    if row is None:
        raise UnknownRecord("There is no account of this name; `overread users list` shows those there are.")
    return row


def _change(session: Session, account_id: int, **values: Any) -> None:  # noqa: ANN401 - the columns' types differ
    session.execute(update(AccountRow).where(AccountRow.id == account_id).values(**values))


def _end_sessions(session: Session, account_id: int) -> None:
    session.execute(delete(WebSessionRow).where(WebSessionRow.account_id == account_id))


def _refuse_no_role(roles: frozenset[Role]) -> None:
    if not roles:
        raise AccountRefused(f"An account needs at least one role; give --role with one of {_listed(Role)}.")


def _event(action: AuditAction, name: str, actor: str, **details: str) -> AuditEvent:
    return AuditEvent(action, actor, details={"account": name, **details})


def _roles(words: Iterable[str]) -> frozenset[Role]:
    return frozenset(map(Role, words))


def _listed(roles: Iterable[Role]) -> str:
    return " ".join(sorted(roles))
