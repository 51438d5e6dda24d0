"""Local accounts: who may come in through the web door, and as what."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MINIMUM_PASSWORD_LENGTH = 12
MAXIMUM_PASSWORD_LENGTH = 1024  # hashing costs time, and nobody types more

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Role(StrEnum):
    """What an account is for; `listener.web.access` says what each role may do."""

    VIEWER = "viewer"  # looks at studies and their results
    OPERATOR = "operator"  # also sends images and has work done again
    ADMINISTRATOR = "administrator"  # also manages accounts
    AUDITOR = "auditor"  # reads the audit trail, and no study


@dataclass(frozen=True, slots=True)
class Account:
    """One account as others may see it, so without its password hash."""

    name: str
    roles: frozenset[Role]
    created_at: datetime
    disabled_at: datetime | None = None
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a login is checked against: the hash of an account's password, and whether the account may still log in."""

    name: str
    roles: frozenset[Role]
    password_hash: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A program's own key to an account, as others may see it; the key itself is kept by the program alone."""

    account: str
    name: str
    roles: frozenset[Role]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Whom a token that is in force stands for: never more than its account may by now."""

    account: str
    token: str
    roles: frozenset[Role]
    expires_at: datetime


def is_account_name(name: str) -> bool:
    """Whether an account or token can have this name: small letters, digits, dot, hyphen and underscore, at most 64."""
    return _NAME.fullmatch(name) is not None
