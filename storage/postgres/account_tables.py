"""The tables of local accounts, of who is logged in, and of programs' tokens."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.account import Role
from storage.postgres.table_base import Base, Big, DatabaseTime, RowId, listed, sha256_check


class AccountRow(Base):
    """One local account; never removed, so that the names in the audit trail keep their meaning."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'", name="name_is_simple"),
        CheckConstraint(f"roles <@ ARRAY[{listed(Role)}] AND cardinality(roles) > 0", name="roles_known"),
    )

    id: Mapped[RowId]
    name: Mapped[str] = mapped_column(unique=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    password_hash: Mapped[str]
    created_at: Mapped[DatabaseTime]
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]


class WebSessionRow(Base):
    """One login that has not ended; the token itself is only in the browser's cookie."""

    __tablename__ = "web_session"
    __table_args__ = (
        sha256_check("token_sha256"),
        Index("web_session_of_account", "account_id"),  # which sessions end with this account?
    )

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[Big] = mapped_column(ForeignKey("account.id"))
    started_at: Mapped[DatabaseTime]
    last_seen_at: Mapped[DatabaseTime]
    expires_at: Mapped[datetime]


class ApiTokenRow(Base):
    """One key of a program; never removed, so that the names in the audit trail keep their meaning."""

    __tablename__ = "api_token"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'", name="name_is_simple"),
        CheckConstraint(f"roles <@ ARRAY[{listed(Role)}] AND cardinality(roles) > 0", name="roles_known"),
        sha256_check("token_sha256"),
        UniqueConstraint("account_id", "name"),
    )

    id: Mapped[RowId]
    account_id: Mapped[Big] = mapped_column(ForeignKey("account.id"))
    name: Mapped[str]
    token_sha256: Mapped[str] = mapped_column(unique=True)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[DatabaseTime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
