"""Who makes a request: a session's cookie for browsers; programs say it with each request."""

import hashlib
import hmac
import secrets

from fastapi import Request

from listener.web.access import BASIC_PREFIXES, Principal
from listener.web.password_check import LoginRefused, PasswordCheck
from listener.web.program_login import ProgramLogin
from storage.ports.accounts import SessionStore

LIVE_HEADER = "x-overread-live"  # sent by a page that brings itself up to date
EVENTS_PATH = "/events"


class AccountGate:
    """Implements the Gate over local accounts."""

    def __init__(
        self, sessions: SessionStore, check: PasswordCheck, programs: ProgramLogin, *, secure_cookie: bool
    ) -> None:
        """``secure_cookie`` says that browsers reach us over TLS only."""
        self._sessions = sessions
        self._check = check
        self._programs = programs
        self.secure_cookie = secure_cookie
        self.cookie_name = "__Host-overread" if secure_cookie else "overread"

    def authenticate(self, request: Request) -> Principal | None:
        """The principal of a request.

        Raises:
            TooManyAttempts: too many logins failed before this one.
            DatabaseUnavailable: the accounts cannot be asked, and nothing was verified a short while ago.
        """
        if is_for_programs(request.url.path):
            return self._programs.principal(request, address_of(request))
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
        credential = self._check.checked(name, password, address)
        token = secrets.token_urlsafe(32)
        if not self._sessions.begin(credential.name, _sha256(token), address):
            raise LoginRefused
        return token

    def log_out(self, request: Request) -> None:
        """End the session of a request."""
        token = self.token(request)
        if token is not None:
            self._sessions.end(_sha256(token), address_of(request))


def is_for_programs(path: str) -> bool:
    """Whether requests to this path authenticate each for itself, and not by a session."""
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
