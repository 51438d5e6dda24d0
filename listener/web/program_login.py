"""Who a program is: name and password, a token, or a client certificate, with each request.

What was verified is remembered for a while, so that a password is not hashed for each request and a login leaves one
row, and while the database is away for longer, so that what is sent can be kept.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request

from listener.web.access import Principal
from listener.web.client_certificate import subject_of
from listener.web.password_check import UNKNOWN, LoginRefused, PasswordCheck, TooManyAttempts
from listener.web.throttle import Throttle
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.errors import DatabaseUnavailable, StorageError
from storage.ports.accounts import AccountDirectory, TokenStore
from storage.ports.audit import AuditTrail

TOKEN_PREFIX = "overread_"  # noqa: S105 - so that a scanner for leaked secrets can know one

_REMEMBER_SECONDS = 15 * 60.0
_REMEMBER_WHILE_AWAY_SECONDS = 24 * 3600.0
_REMEMBERED = 1000
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    at: float
    password_hash: str = ""
    expires_at: datetime = _NEVER


class ProgramLogin:
    """Tells programs apart; every refusal is audited as a failed login."""

    def __init__(
        self,
        accounts: AccountDirectory,
        tokens: TokenStore,
        trail: AuditTrail,
        check: PasswordCheck,
        throttle: Throttle,
        certificates: Mapping[str, str],
    ) -> None:
        """``certificates`` gives the account of a client certificate's subject."""
        self._accounts = accounts
        self._tokens = tokens
        self._trail = trail
        self._check = check
        self._throttle = throttle
        self._certificates = certificates
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def principal(self, request: Request, address: str) -> Principal | None:
        """The principal of a request: of what its Authorization header says, without one of its certificate.

        Raises:
            TooManyAttempts: too many logins failed before this one.
            DatabaseUnavailable: nobody can be asked, and nothing was verified a short while ago.
        """
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(credentials.strip(), address)
        if header:
            return self._by_password(*_basic(scheme, credentials), address)
        subject = subject_of(request)
        return self._by_certificate(subject, address) if subject else None

    def certificate_refused(self, reason: str) -> None:
        """Leave a row of a certificate that ended its handshake; from where is not known there."""
        with suppress(TooManyAttempts, StorageError):
            self._refuse(UNKNOWN, "", by="certificate", reason=reason)

    def _by_password(self, name: str, password: str, address: str) -> Principal | None:
        if not name:
            return None
        key = self._digest("password", name, password)
        known, age = self._known(key)
        try:
            credential = self._accounts.credential(name)
        except DatabaseUnavailable:
            return _while_away(known, age)
        if known and credential and age < _REMEMBER_SECONDS and known.password_hash == credential.password_hash:
            if credential.disabled:
                return None
            return self._remember(key, _Verified(Principal(name, credential.roles), known.at, known.password_hash))
        try:
            credential = self._check.checked(name, password, address)
        except LoginRefused:
            self._verified.pop(key, None)
            return None
        self._record_login(name, address, by="password")
        found = _Verified(Principal(name, credential.roles), time.monotonic(), credential.password_hash)
        return self._remember(key, found)

    def _by_token(self, token: str, address: str) -> Principal | None:
        key = self._digest("token", token)
        known, age = self._known(key)
        try:
            owner = self._tokens.owner(token_sha256(token))
        except DatabaseUnavailable:
            return _while_away(known, age)
        if owner is None:
            self._verified.pop(key, None)
            self._refuse(UNKNOWN, address, by="token")
            return None
        at = self._still_known(known, age, lambda: self._record_login(owner.account, address, "token", owner.token))
        return self._remember(key, _Verified(Principal(owner.account, owner.roles), at, expires_at=owner.expires_at))

    def _by_certificate(self, subject: str, address: str) -> Principal | None:
        name = self._certificates.get(subject, "")
        key = self._digest("certificate", subject)
        known, age = self._known(key)
        try:
            credential = self._accounts.credential(name)
        except DatabaseUnavailable:
            return _while_away(known, age)
        if credential is None or credential.disabled:
            self._verified.pop(key, None)
            self._refuse(credential.name if credential else UNKNOWN, address, by="certificate", certificate=subject)
            return None
        at = self._still_known(known, age, lambda: self._record_login(name, address, "certificate"))
        return self._remember(key, _Verified(Principal(name, credential.roles), at))

    def _refuse(self, actor: str, address: str, *, by: str, **details: str) -> None:
        """Count and audit a refusal; who fails too often is told to wait, and leaves no more rows.

        Raises:
            TooManyAttempts: as often as allowed, and more, came before.
        """
        wait = self._throttle.admit(f"by {by}", address)
        if wait:
            raise TooManyAttempts(wait)
        self._trail.record(
            AuditEvent(
                AuditAction.LOGIN_FAILED,
                actor,
                AuditOutcome.MINOR_FAILURE,
                details={"address": address, "by": by, **{key: value[:256] for key, value in details.items()}},
            )
        )

    def _record_login(self, name: str, address: str, by: str, token: str = "") -> None:
        details: dict[str, str | int | float | None] = {"address": address, "by": by}
        if token:
            details["token"] = token
        self._trail.record(AuditEvent(AuditAction.LOGIN_SUCCEEDED, name, details=details))

    def _still_known(self, known: _Verified | None, age: float, record: Callable[[], None]) -> float:
        """When it was verified; a login that is not remembered any more leaves its row anew."""
        if known is not None and age < _REMEMBER_SECONDS:
            return known.at
        record()
        return time.monotonic()

    def _known(self, key: bytes) -> tuple[_Verified | None, float]:
        known = self._verified.get(key)
        return known, time.monotonic() - known.at if known else float("inf")

    def _remember(self, key: bytes, found: _Verified) -> Principal:
        self._verified[key] = found
        self._verified.move_to_end(key)
        while len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return found.principal

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\0".join(parts).encode("utf-8", "surrogatepass"), "sha256")


def new_token() -> str:
    """The text of a token: 32 random bytes, to be shown once."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_sha256(token: str) -> str:
    """What we keep of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _while_away(known: _Verified | None, age: float) -> Principal:
    """The principal that was verified before the database went away.

    An account cannot have been disabled while nobody reaches the database, and what is sent must be kept.

    Raises:
        DatabaseUnavailable: none was.
    """
    if known is None or age >= _REMEMBER_WHILE_AWAY_SECONDS or known.expires_at <= datetime.now(UTC):
        raise DatabaseUnavailable
    return known.principal


def _basic(scheme: str, credentials: str) -> tuple[str, str]:
    """Name and password of RFC 7617, or two empty texts."""
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
