"""Who is logged in at the web door, as rows; time is the database's."""

from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from storage.domain.account import Credential
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.postgres.account_rows import credential_of
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.tables import AccountRow, WebSessionRow

_TOUCH_EVERY = timedelta(seconds=20)  # a page with many pictures is one use, not many writes


class PostgresSessionStore:
    """Implements the port SessionStore; every method may raise DatabaseUnavailable, and then nothing changed."""

    def __init__(self, database: Database, idle: timedelta, lifetime: timedelta) -> None:
        """Sessions end ``idle`` after their last use and ``lifetime`` after their login."""
        self._database = database
        self._idle = idle
        self._lifetime = lifetime

    def begin(self, name: str, token_sha256: str, address: str) -> bool:
        """Start a session, with the audit row of the login; ``False`` when the account may not log in any more.

        Sessions of anybody that have ended meanwhile are removed.
        """
        with self._database.transaction() as session:
            account_id = session.scalar(
                update(AccountRow)
                .where(AccountRow.name == name, AccountRow.disabled_at.is_(None))
                .values(last_login_at=func.now())
                .returning(AccountRow.id)
            )
            if account_id is None:
                return False
            session.execute(
                delete(WebSessionRow).where(
                    or_(
                        WebSessionRow.expires_at <= func.now(),
                        WebSessionRow.last_seen_at <= func.now() - self._idle,
                    )
                )
            )
            session.execute(
                insert(WebSessionRow).values(
                    token_sha256=token_sha256, account_id=account_id, expires_at=func.now() + self._lifetime
                )
            )
            append(session, AuditEvent(AuditAction.LOGIN_SUCCEEDED, name, details={"address": address}))
        return True

    def owner(self, token_sha256: str, *, touch: bool) -> Credential | None:
        """The account of a session that has not ended; ``touch`` says that somebody is using it."""
        with self._database.transaction() as session:
            found = session.execute(
                select(AccountRow, (WebSessionRow.last_seen_at < func.now() - _TOUCH_EVERY).label("is_due"))
                .join(WebSessionRow, WebSessionRow.account_id == AccountRow.id)
                .where(
                    WebSessionRow.token_sha256 == token_sha256,
                    WebSessionRow.expires_at > func.now(),
                    WebSessionRow.last_seen_at > func.now() - self._idle,
                    AccountRow.disabled_at.is_(None),
                )
            ).one_or_none()
            if found is None:
                return None
            if touch and found.is_due:
                session.execute(
                    update(WebSessionRow)
                    .where(WebSessionRow.token_sha256 == token_sha256)
                    .values(last_seen_at=func.now())
                )
            return credential_of(found[0])

    def end(self, token_sha256: str, address: str) -> None:
        """End a session, with the audit row of the logout; nothing happens when it has ended already."""
        with self._database.transaction() as session:
            account_id = session.scalar(
                delete(WebSessionRow)
                .where(WebSessionRow.token_sha256 == token_sha256)
                .returning(WebSessionRow.account_id)
            )
            if account_id is None:
                return
            name = session.scalars(select(AccountRow.name).where(AccountRow.id == account_id)).one()
            append(session, AuditEvent(AuditAction.LOGGED_OUT, name, details={"address": address}))
