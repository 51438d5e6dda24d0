"""Accounts, sessions and tokens."""

from datetime import timedelta
from typing import Protocol

from storage.domain.account import Account, ApiToken, Credential, Role, TokenOwner


class AccountDirectory(Protocol):
    """Local accounts; every change and its audit row are one transaction."""

    def add(self, name: str, password_hash: str, roles: frozenset[Role], actor: str) -> None:
        """Make an account. Raises AccountRefused when the name is taken or cannot be one."""
        ...

    def all(self) -> tuple[Account, ...]:
        """Every account by name, disabled ones too."""
        ...

    def disable(self, name: str, actor: str) -> None:
        """Let the account log in no more and end its sessions. Raises UnknownRecord."""
        ...

    def enable(self, name: str, actor: str) -> None:
        """Let a disabled account log in again. Raises UnknownRecord."""
        ...

    def set_password(self, name: str, password_hash: str, actor: str) -> None:
        """Give the account another password and end its sessions. Raises UnknownRecord."""
        ...

    def set_roles(self, name: str, roles: frozenset[Role], actor: str) -> None:
        """Give the account these roles instead of those it had. Raises UnknownRecord."""
        ...

    def credential(self, name: str) -> Credential | None:
        """What a login under this name is checked against; ``None`` when there is no such account."""
        ...

    def rehash(self, credential: Credential, password_hash: str) -> None:
        """Replace the hash of a password by a stronger one of the same password, unless it changed meanwhile."""
        ...


class SessionStore(Protocol):
    """Who is logged in; a session is known by the SHA-256 of its token only."""

    def begin(self, name: str, token_sha256: str, address: str) -> bool:
        """Start a session, with the audit row of the login; ``False`` when the account may not log in any more."""
        ...

    def owner(self, token_sha256: str, *, touch: bool) -> Credential | None:
        """The account of a session that has not ended; ``touch`` says that somebody is using it."""
        ...

    def end(self, token_sha256: str, address: str) -> None:
        """End a session, with the audit row of the logout; nothing happens when it has ended already."""
        ...


class TokenStore(Protocol):
    """API tokens of accounts; one is known by the SHA-256 of its text only, and stays as a row when it is revoked."""

    def add(
        self, account: str, name: str, token_sha256: str, roles: frozenset[Role], lifetime: timedelta, actor: str
    ) -> None:
        """Give an account a token. Raises UnknownRecord, or AccountRefused for a taken name or too much of a role."""
        ...

    def all(self, account: str | None = None) -> tuple[ApiToken, ...]:
        """Every token, or those of one account, by account and name; revoked ones too."""
        ...

    def revoke(self, account: str, name: str, actor: str) -> None:
        """Let the token in no more. Raises UnknownRecord."""
        ...

    def owner(self, token_sha256: str) -> TokenOwner | None:
        """Whom a token stands for, noting that it was used; ``None`` when it is not in force."""
        ...
