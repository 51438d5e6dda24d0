"""Passwords: hashed with argon2id, checked at the same cost whether or not the account exists."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from listener.errors import ListenerError
from storage.domain.account import MAXIMUM_PASSWORD_LENGTH, MINIMUM_PASSWORD_LENGTH

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)  # 64 MiB and three passes (RFC 9106 section 4)
_AT_ONCE = threading.BoundedSemaphore(2)  # so that a flood of logins takes two cores and 128 MiB, not all there is
# Of a password nobody knows, so that a login under an unknown name takes as long as one under a known name.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$atGNfAixDcGeGc8+BWhXDA$UTP5WOrrXIT3v7YjvyWOfZvEiX8MipNgxOa7OTg+Wvo"


class UnfitPassword(ListenerError):
    """The password is too short or too long; choose one of at least 12 characters."""


def hash_password(password: str) -> str:
    """The hash to keep, with its salt and parameters.

    Raises:
        UnfitPassword: it is shorter or longer than allowed.
    """
    if not MINIMUM_PASSWORD_LENGTH <= len(password) <= MAXIMUM_PASSWORD_LENGTH:
        raise UnfitPassword
    with _AT_ONCE:
        return _HASHER.hash(_encoded(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Whether this is the password; with ``None`` for an unknown account it never is, and takes as long to say."""
    if len(password) > MAXIMUM_PASSWORD_LENGTH:
        password, password_hash = "", None
    with _AT_ONCE:
        try:
            _HASHER.verify(password_hash or _NOBODYS, _encoded(password))
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than those of this release."""
    return _HASHER.check_needs_rehash(password_hash)


def _encoded(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
