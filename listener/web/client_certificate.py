"""The certificate that a client showed in the TLS handshake, from the connection to the request."""

import logging
import ssl
from collections.abc import Callable, MutableMapping
from typing import Any

from cryptography import x509
from fastapi import Request

log = logging.getLogger(__name__)

_STATE_KEY = "client_certificate_subject"


def remember_subject(state: MutableMapping[str, Any], connection: object) -> None:
    """Note on a connection's state the subject of the certificate that its client proved to have, if any."""
    if not isinstance(connection, ssl.SSLObject):
        return
    certificate = connection.getpeercert(binary_form=True)
    if certificate:
        state[_STATE_KEY] = x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


def subject_of(request: Request) -> str:
    """The subject (RFC 4514) of the client's certificate, which an authority of ours signed; empty without one."""
    return str(request.scope.get("state", {}).get(_STATE_KEY, ""))


def watched(told: Callable[[str], None]) -> type[ssl.SSLObject]:
    """TLS connections that tell why a client's certificate was refused."""

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                told(error.verify_message)
                raise

    return Watched
