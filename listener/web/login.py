"""Who makes a request: a session's cookie for browsers, name and password with each request for programs."""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from fastapi import Request

from listener.errors import ListenerError
from listener.web import passwords
from listener.web.access import BASIC_PREFIXES, Principal
from listener.web.throttle import Throttle
from storage.domain.account import Credential
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.errors import DatabaseUnavailable
from storage.ports import AccountDirectory, AuditTrail, SessionStore

LIVE_HEADER = "x-overread-live"  # sent by a page that brings itself up to date
EVENTS_PATH = "/events"

_UNKNOWN = "unknown"  # the actor of a login under a name that no account has; what was typed may be a password
_REMEMBER_SECONDS = 15 * 60.0  # a verified password is not hashed again for this long
_REMEMBER_WHILE_AWAY_SECONDS = 24 * 3600.0  # nor asked after for this long while the database is away
_REMEMBERED = 1000


class LoginRefused(ListenerError):
    """Name or password is not right, or the account is disabled."""


class TooManyAttempts(ListenerError):
    """Too many logins failed; wait before the next one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = int(seconds) + 1
        minutes = (self.seconds + 59) // 60
        super().__init__(f"Too many logins failed; try again in {minutes} minute{'s' if minutes > 1 else ''}.")


@dataclass(frozen=True, slots=True)
class _Verified:
    password_hash: str
    principal: Principal
    at: float


class AccountGate:
    """Implements the Gate over local accounts."""

    def __init__(
        self, accounts: AccountDirectory, sessions: SessionStore, trail: AuditTrail, *, secure_cookie: bool
    ) -> None:
        """``secure_cookie`` says that browsers reach us over TLS only."""
        self._accounts = accounts
        self._sessions = sessions
        self._trail = trail
        self._throttle = Throttle()
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self.secure_cookie = secure_cookie
        self.cookie_name = "__Host-overread" if secure_cookie else "overread"

    def authenticate(self, request: Request) -> Principal | None:
        """The principal of a request.

        Raises:
            TooManyAttempts: too many logins failed before this one.
            DatabaseUnavailable: the accounts cannot be asked, and the password was not verified a short while ago.
        """
        if is_for_programs(request.url.path):
            return self._by_password(request)
        token = self.token(request)
        if token is None:
            return None
        owner = self._sessions.owner(_sha256(token), touch=not _is_live(request))
        request.state.form_token = form_token(token)
        return None if owner is None else Principal(owner.name, owner.roles)

    def token(self, request: Request) -> str | None:
        """The session token that a browser sent."""
        return request.cookies.get(self.cookie_name) or None

    def log_in(self, name: str, password: str, address: str) -> str:
        """Check a password, start a session and return its token.

        Raises:
            LoginRefused: name or password is not right, or the account is disabled.
            TooManyAttempts: too many logins failed before this one.
        """
        credential = self._checked(name, password, address)
        token = secrets.token_urlsafe(32)
        if not self._sessions.begin(credential.name, _sha256(token), address):
            raise LoginRefused
        return token

    def log_out(self, request: Request) -> None:
        """End the session of a request."""
        token = self.token(request)
        if token is not None:
            self._sessions.end(_sha256(token), address_of(request))

    def _checked(self, name: str, password: str, address: str) -> Credential:
        wait = self._throttle.admit(name, address)
        if wait:
            raise TooManyAttempts(wait)
        credential = self._accounts.credential(name)
        right = passwords.matches(credential.password_hash if credential else None, password)
        if credential is None or not right or credential.disabled:
            actor = credential.name if credential else _UNKNOWN
            self._trail.record(
                AuditEvent(AuditAction.LOGIN_FAILED, actor, AuditOutcome.MINOR_FAILURE, details={"address": address})
            )
            raise LoginRefused
        self._throttle.succeeded(name, address)
        if passwords.is_outdated(credential.password_hash):
            self._accounts.rehash(credential, passwords.hash_password(password))
        return credential

    def _by_password(self, request: Request) -> Principal | None:
        name, password = _basic(request.headers.get("authorization", ""))
        if not name:
            return None
        key = hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        known = self._verified.get(key)
        age = time.monotonic() - known.at if known else float("inf")
        try:
            credential = self._accounts.credential(name)
        except DatabaseUnavailable:
            # An account cannot have been disabled while nobody reaches the database, and what is sent must be kept.
            if known is not None and age < _REMEMBER_WHILE_AWAY_SECONDS:
                return known.principal
            raise
        if known and credential and age < _REMEMBER_SECONDS and known.password_hash == credential.password_hash:
            return None if credential.disabled else self._remember(key, credential, known.at)
        return self._verify(key, name, password, address_of(request))

    def _verify(self, key: bytes, name: str, password: str, address: str) -> Principal | None:
        try:
            credential = self._checked(name, password, address)
        except LoginRefused:
            self._verified.pop(key, None)
            return None
        self._trail.record(
            AuditEvent(AuditAction.LOGIN_SUCCEEDED, name, details={"address": address, "by": "password"})
        )
        return self._remember(key, credential, time.monotonic())

    def _remember(self, key: bytes, credential: Credential, at: float) -> Principal:
        principal = Principal(credential.name, credential.roles)
        self._verified[key] = _Verified(credential.password_hash, principal, at)
        while len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return principal


def is_for_programs(path: str) -> bool:
    """Whether requests to this path authenticate with name and password each time."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in BASIC_PREFIXES)


def _is_live(request: Request) -> bool:
    """Whether an open page asks by itself, which is no sign of a person."""
    return LIVE_HEADER in request.headers or request.url.path == EVENTS_PATH


def address_of(request: Request) -> str:
    """Where a request comes from, as the socket or the stated proxy says."""
    return request.client.host if request.client else ""


def form_token(token: str) -> str:
    """What a form must carry beside the cookie of this session, which another site cannot know."""
    return hmac.new(token.encode(), b"form", "sha256").hexdigest()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _basic(header: str) -> tuple[str, str]:
    """Name and password of RFC 7617, or two empty texts."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
