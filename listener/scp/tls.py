"""TLS at the door (PS3.15 section B.13): handshakes in the connections' threads, certificates as they are now."""

import contextlib
import logging
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509

from listener.errors import ListenerError
from listener.scp.limits import HANDSHAKE_DEADLINE, SEND_DEADLINE, TICK
from listener.scp.transport import PeerGone
from listener.settings import ListenerSettings

log = logging.getLogger(__name__)

# Of TLS 1.2 the suites that RFC 9325 section 4.2 recommends; TLS 1.3 has none that are weak.
SUITES = ":".join(
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    )
)
FOR_OTHERS = 0o007


class HandshakeFailed(Exception):
    """A peer did not come through the handshake; the sentence says why, in words that are not the peer's."""


class TlsTransport:
    """Implements Transport over TLS; ``subject`` is that of the client's certificate (RFC 4514), empty without one."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._socket = connection
        certificate = connection.getpeercert(binary_form=True)
        self.subject = x509.load_der_x509_certificate(certificate).subject.rfc4514_string() if certificate else ""
        connection.settimeout(TICK)

    def receive_into(self, room: memoryview) -> int:
        """Put what has come into ``room``."""
        try:
            count = self._socket.recv_into(room)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:  # ValueError: it was cut by another thread
            raise PeerGone from error
        if not count:
            raise PeerGone
        return count

    def send(self, data: bytes) -> None:
        """Send everything."""
        try:
            self._socket.settimeout(SEND_DEADLINE)
            self._socket.sendall(data)
            self._socket.settimeout(TICK)
        except (OSError, ValueError) as error:
            raise PeerGone from error

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()


class TlsDoor:
    """Shakes hands; certificate, key, authorities and revocations are read again when their files change."""

    def __init__(self, settings: ListenerSettings) -> None:
        """Read the files.

        Raises:
            ListenerError: names the setting whose file cannot be used.
        """
        self._settings = settings
        self._lock = threading.Lock()
        self._stamps = self._stamped()
        self._context = _context(settings)

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """A TLS connection whose handshake is still to come. Raises PeerGone."""
        try:
            return self._current().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            raise PeerGone from error

    def shake_hands(self, connection: ssl.SSLSocket) -> TlsTransport:
        """Take the handshake to its end, within an absolute deadline. Raises HandshakeFailed, PeerGone."""
        try:
            connection.settimeout(HANDSHAKE_DEADLINE)
            connection.do_handshake()
            return TlsTransport(connection)
        except TimeoutError:
            raise HandshakeFailed("No TLS handshake came in time.") from None
        except ssl.SSLCertVerificationError as error:
            raise HandshakeFailed(f"The client certificate was refused: {error.verify_message}.") from None
        except ssl.SSLEOFError as error:
            raise PeerGone from error
        except ssl.SSLError as error:
            words = (error.reason or "no reason").lower().replace("_", " ")
            raise HandshakeFailed(f"The TLS handshake failed: {words}.") from None
        except (OSError, ValueError) as error:
            raise PeerGone from error

    def _current(self) -> ssl.SSLContext:
        with self._lock:
            stamps = self._stamped()
            if stamps != self._stamps:
                try:
                    self._context = _context(self._settings)
                    log.info("The certificates of the listener were read again.")
                except ListenerError as error:
                    log.error("%s The certificates read before stay in use.", error)
                self._stamps = stamps
            return self._context

    def _stamped(self) -> list[tuple[int, int]]:
        files = (
            self._settings.tls_certificate,
            self._settings.tls_key,
            self._settings.tls_ca,
            self._settings.tls_crl,
        )
        return [_stamp(Path(file)) for file in files if file]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def _context(settings: ListenerSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # a client whose certificate was revoked must not come back on an old session
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=lambda: b"")
    except (OSError, ValueError):
        raise ListenerError(
            "[listener] tls_certificate and tls_key are not a certificate and its key, as PEM and without a password, "
            "in files that this account may read; correct them."
        ) from None
    if Path(settings.tls_key).stat().st_mode & FOR_OTHERS:
        raise ListenerError("[listener] tls_key may be read by every account of this machine; chmod 600 its file.")
    if settings.tls_client_certificates == "required":
        _require_certificates(context, settings)
    return context


def _require_certificates(context: ssl.SSLContext, settings: ListenerSettings) -> None:
    try:
        context.load_verify_locations(settings.tls_ca)
        if settings.tls_crl:
            context.load_verify_locations(settings.tls_crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (OSError, ValueError):
        raise ListenerError(
            "[listener] tls_ca or tls_crl is no file as PEM that this account may read; correct it."
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED
