"""Whether a name and a password are right, at what price to those who guess."""

from listener.errors import ListenerError
from listener.web import passwords
from listener.web.throttle import Throttle
from storage.domain.account import Credential
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.ports.accounts import AccountDirectory
from storage.ports.audit import AuditTrail

UNKNOWN = "unknown"  # the actor of a login under a name that no account has; what was typed may be a password


class LoginRefused(ListenerError):
    """Name or password is not right, or the account is disabled."""


class TooManyAttempts(ListenerError):
    """Too many logins failed; wait before the next one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = int(seconds) + 1
        minutes = (self.seconds + 59) // 60
        super().__init__(f"Too many logins failed; try again in {minutes} minute{'s' if minutes > 1 else ''}.")


class PasswordCheck:
    """Checks passwords; every failure is counted and audited."""

    def __init__(self, accounts: AccountDirectory, trail: AuditTrail, throttle: Throttle) -> None:
        self._accounts = accounts
        self._trail = trail
        self._throttle = throttle

    def checked(self, name: str, password: str, address: str) -> Credential:
        """The account of a name and a password.

        Raises:
            LoginRefused: name or password is not right, or the account is disabled.
            TooManyAttempts: too many logins failed before this one.
        """
        wait = self._throttle.admit(name, address)
        if wait:
            raise TooManyAttempts(wait)
        credential = self._accounts.credential(name)
        right = passwords.matches(credential.password_hash if credential else None, password)
        if credential is None or not right or credential.disabled:
            actor = credential.name if credential else UNKNOWN
            self._trail.record(
                AuditEvent(AuditAction.LOGIN_FAILED, actor, AuditOutcome.MINOR_FAILURE, details={"address": address})
            )
            raise LoginRefused
        self._throttle.succeeded(name, address)
        if passwords.is_outdated(credential.password_hash):
            self._accounts.rehash(credential, passwords.hash_password(password))
        return credential
