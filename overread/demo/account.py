"""The account that looks around in the demo, with a new random password at each start."""

import secrets

from listener.web.passwords import hash_password
from storage.domain.account import Role
from storage.errors import AccountRefused
from storage.ports.accounts import AccountDirectory

NAME = "demo"
_ROLES = frozenset({Role.VIEWER, Role.ADMINISTRATOR, Role.AUDITOR})
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


def open_account(accounts: AccountDirectory) -> str:
    """Make the account, or give it a new password and let it in again; return the password."""
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))
    password_hash = hash_password(password)
    try:
        accounts.add(NAME, password_hash, _ROLES, "demo")
    except AccountRefused:
        accounts.set_password(NAME, password_hash, "demo")
        accounts.enable(NAME, "demo")
    return password
