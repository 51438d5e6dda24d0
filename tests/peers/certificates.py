"""An authority of a test, and what it signs and revokes."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


@dataclass
class Signed:
    """A certificate with its key, as files."""

    certificate: x509.Certificate
    cert: str
    key: str


class Authority:
    """Signs certificates; its own is in ``file``."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.now(UTC)
        own = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = self._write("ca.pem", own.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, *, days: int = 1) -> Signed:
        """A certificate for ``CN=<name>,O=Hospital``, also valid for 127.0.0.1; negative days: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + days * _DAY
        certificate = (
            x509.CertificateBuilder(self._name, _name(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(until - 30 * _DAY)
            .not_valid_after(until)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        serial = f"{certificate.serial_number:x}"
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Signed(
            certificate,
            self._write(f"{serial}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{serial}.key", encoded),
        )

    def revoke(self, *certificates: Signed) -> str:
        """The list of what was revoked."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(self._name, now - _DAY, now + _DAY)
        for each in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(each.certificate.serial_number, now - _DAY).build()
            )
        crl = builder.sign(self._key, hashes.SHA256())
        return self._write("crl.pem", crl.public_bytes(serialization.Encoding.PEM))

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)


def _name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hospital"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
