"""API tokens as rows; each change with its audit row, time is the database's."""

from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.account import ApiToken, Role, TokenOwner, is_account_name
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import AccountRefused, UnknownRecord
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.tables import AccountRow, ApiTokenRow

_TOUCH_EVERY = timedelta(minutes=1)


class PostgresTokenStore:
    """Implements the port TokenStore; every method may raise DatabaseUnavailable, and then nothing changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, account: str, name: str, token_sha256: str, roles: frozenset[Role], lifetime: timedelta, actor: str
    ) -> None:
        """Give an account a token.

        Raises:
            UnknownRecord: no such account.
            AccountRefused: the name cannot be one or is taken, or the account does not have such a role.
        """
        if not is_account_name(name):
            raise AccountRefused(
                "A token's name has small letters, digits, dots, hyphens and underscores only, at most 64; "
                "choose such a name."
            )
        with self._database.transaction() as session:
            owner = _locked(session, account)
            if not roles or not roles <= set(owner.roles):
                raise AccountRefused(
                    f"A token has one or more of its account's own roles ({' '.join(owner.roles)}); give --role with "
                    "one of them."
                )
            added = session.execute(
                insert(ApiTokenRow)
                .values(
                    account_id=owner.id,
                    name=name,
                    token_sha256=token_sha256,
                    roles=sorted(roles),
                    expires_at=func.now() + lifetime,
                )
                .on_conflict_do_nothing(index_elements=["account_id", "name"])
                .returning(ApiTokenRow.id)
            ).one_or_none()
            if added is None:
                raise AccountRefused(f"{account} has, or had, a token {name} already; choose another name.")
            append(session, _event(account, "token added", name, actor, roles=" ".join(sorted(roles))))

    def all(self, account: str | None = None) -> tuple[ApiToken, ...]:
        """Every token, or those of one account, by account and name; revoked ones too."""
        query = select(ApiTokenRow, AccountRow.name).join(AccountRow, AccountRow.id == ApiTokenRow.account_id)
        if account is not None:
            query = query.where(AccountRow.name == account)
        with self._database.transaction() as session:
            found = session.execute(query.order_by(AccountRow.name, ApiTokenRow.name)).all()
        return tuple(
            ApiToken(
                owner,
                row.name,
                frozenset(map(Role, row.roles)),
                row.created_at,
                row.expires_at,
                row.last_used_at,
                row.revoked_at,
            )
            for row, owner in found
        )

    def revoke(self, account: str, name: str, actor: str) -> None:
        """Let the token in no more; one that is revoked already stays so.

        Raises:
            UnknownRecord: no such account, or no such token of it.
        """
        with self._database.transaction() as session:
            owner = _locked(session, account)
            token = session.scalar(
                select(ApiTokenRow).where(ApiTokenRow.account_id == owner.id, ApiTokenRow.name == name)
            )
            if token is None:
                raise UnknownRecord(f"{account} has no token of this name; `overread users token list` shows them.")
            if token.revoked_at is None:
                session.execute(update(ApiTokenRow).where(ApiTokenRow.id == token.id).values(revoked_at=func.now()))
                append(session, _event(account, "token revoked", name, actor))

    def owner(self, token_sha256: str) -> TokenOwner | None:
        """Whom a token stands for, noting that it was used; ``None`` when it is not in force.

        It is not when it was revoked or is past its time, when its account is disabled, or when the account has lost
        each of the token's roles.
        """
        with self._database.transaction() as session:
            found = session.execute(
                select(
                    ApiTokenRow,
                    AccountRow,
                    or_(ApiTokenRow.last_used_at.is_(None), ApiTokenRow.last_used_at < func.now() - _TOUCH_EVERY).label(
                        "is_due"
                    ),
                )
                .join(AccountRow, AccountRow.id == ApiTokenRow.account_id)
                .where(
                    ApiTokenRow.token_sha256 == token_sha256,
                    ApiTokenRow.revoked_at.is_(None),
                    ApiTokenRow.expires_at > func.now(),
                    AccountRow.disabled_at.is_(None),
                )
            ).one_or_none()
            if found is None:
                return None
            token, account, is_due = found
            if is_due:
                session.execute(update(ApiTokenRow).where(ApiTokenRow.id == token.id).values(last_used_at=func.now()))
            roles = frozenset(map(Role, set(token.roles) & set(account.roles)))
            return TokenOwner(account.name, token.name, roles, token.expires_at) if roles else None


def _locked(session: Session, account: str) -> AccountRow:
    row = session.scalar(select(AccountRow).where(AccountRow.name == account).with_for_update())
    if row is None:
        raise UnknownRecord("There is no account of this name; `overread users list` shows those there are.")
    return row


def _event(account: str, change: str, token: str, actor: str, **details: str) -> AuditEvent:
    return AuditEvent(
        AuditAction.USER_CHANGED, actor, details={"account": account, "change": change, "token": token, **details}
    )
