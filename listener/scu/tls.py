"""TLS as the side that calls (PS3.15 section B.13): our context for a destination, and why a handshake failed."""

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from listener.scp.tls import FOR_OTHERS, SUITES
from listener.scu.tls_settings import TlsKeys
from listener.scu.verdict import NoAnswer

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# What OpenSSL found wrong with the certificate that we were shown, by the numbers of its x509_vfy.h.
_VERIFICATION: Mapping[int, NoAnswer] = {
    2: NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,  # its issuer was not shown and is not ours
    9: NoAnswer.CERTIFICATE_EXPIRED,  # not valid yet
    10: NoAnswer.CERTIFICATE_EXPIRED,
    18: NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,  # signed by itself
    19: NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,  # so is the last of its chain
    20: NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,
    21: NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY,
    62: NoAnswer.CERTIFICATE_OF_ANOTHER,
    64: NoAnswer.CERTIFICATE_OF_ANOTHER,  # its address
}

# What it told us before it hung up (RFC 8446 section 6.2), in OpenSSL's words.
_ALERTS: Mapping[str, NoAnswer] = {
    "BAD_CERTIFICATE": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "UNSUPPORTED_CERTIFICATE": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "CERTIFICATE_REVOKED": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "CERTIFICATE_EXPIRED": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "CERTIFICATE_UNKNOWN": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "CERTIFICATE_REQUIRED": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "UNKNOWN_CA": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "ACCESS_DENIED": NoAnswer.OUR_CERTIFICATE_REFUSED,
    "HANDSHAKE_FAILURE": NoAnswer.TLS_NOT_AGREED,
    "PROTOCOL_VERSION": NoAnswer.TLS_NOT_AGREED,
    "INSUFFICIENT_SECURITY": NoAnswer.TLS_NOT_AGREED,
    "UNSUPPORTED_PROTOCOL": NoAnswer.TLS_NOT_AGREED,
    "NO_CIPHERS_AVAILABLE": NoAnswer.TLS_NOT_AGREED,
}


class TlsFilesUnusable(Exception):
    """Our own files; ``why`` says which."""

    def __init__(self, why: NoAnswer) -> None:
        super().__init__(str(why))
        self.why = why


def client_context(keys: TlsKeys) -> ssl.SSLContext:
    """What we believe and show; a certificate that is not for the called host is never believed.

    Raises:
        TlsFilesUnusable: a file of ours cannot be read, or is readable by too many.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asks for a certificate, and compares the name in it
    context.minimum_version = _VERSIONS[keys.tls_minimum_version]
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        if keys.tls_ca:
            context.load_verify_locations(keys.tls_ca)
        else:
            context.load_default_certs()
    except (OSError, ValueError):
        raise TlsFilesUnusable(NoAnswer.TLS_AUTHORITIES_UNUSABLE) from None
    if keys.tls_certificate:
        try:
            context.load_cert_chain(keys.tls_certificate, keys.tls_key, password=lambda: b"")
            open_to_others = Path(keys.tls_key).stat().st_mode & FOR_OTHERS
        except (OSError, ValueError):
            raise TlsFilesUnusable(NoAnswer.OUR_CERTIFICATE_UNUSABLE) from None
        if open_to_others:
            raise TlsFilesUnusable(NoAnswer.OUR_CERTIFICATE_UNUSABLE)
    return context


def why_tls_failed(error: Exception) -> NoAnswer:
    """What an error of a handshake, or of the first bytes after one, comes to."""
    if isinstance(error, TimeoutError):
        return NoAnswer.NO_ASSOCIATION
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, NoAnswer.CERTIFICATE_NOT_VALID)
    reason = getattr(error, "reason", None) or ""
    return next((why for word, why in _ALERTS.items() if word in reason), NoAnswer.TLS_NOT_SPOKEN)


class TlsSocket(ssl.SSLSocket):
    """A connection whose handshake, and alert after it, tells ``failed`` why it came to nothing."""

    failed: Callable[[NoAnswer], None]

    def connect(self, address: object) -> None:
        """Connect and take the handshake to its end, each within the timeout of the socket."""
        super().connect(address)  # type: ignore[arg-type]
        try:
            self.do_handshake()
        except (OSError, ValueError) as error:  # ValueError: it was cut by another thread
            self.failed(why_tls_failed(error))
            raise OSError("the TLS handshake failed") from error

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read; under TLS 1.3 what the other side thinks of our certificate comes only now."""
        try:
            return super().recv(buflen, flags)
        except ssl.SSLError as error:
            if "ALERT" in (error.reason or ""):
                self.failed(why_tls_failed(error))
            raise


class Dial:
    """In the place of an SSLContext where pynetdicom asks for one: the files are read when the connection is made."""

    def __init__(self, keys: TlsKeys, failed: Callable[[NoAnswer], None]) -> None:
        """``failed`` is told why it came to nothing."""
        self._keys = keys
        self._failed = failed

    def wrap_socket(self, sock: object, server_side: bool = False, server_hostname: str | None = None) -> ssl.SSLSocket:
        """A socket that is still to connect.

        Raises:
            OSError: our own files cannot be used.
        """
        try:
            context = client_context(self._keys)
        except TlsFilesUnusable as unusable:
            self._failed(unusable.why)
            raise OSError(str(unusable)) from unusable
        context.sslsocket_class = TlsSocket
        wrapped = context.wrap_socket(
            sock,  # type: ignore[arg-type]
            server_side=server_side,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
        )
        wrapped.failed = self._failed  # type: ignore[attr-defined]
        return wrapped
