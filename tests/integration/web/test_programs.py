"""Programs come in with a token or a certificate, each for itself; whoever is refused leaves a row."""

import contextlib
import ssl
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from listener.web.program_login import new_token, token_sha256
from storage.domain.account import Role
from storage.postgres.engine import open_database
from storage.postgres.token_rows import PostgresTokenStore
from tests.peers.web_door import PASSWORD, WebDoor, opened, without_database

_FAILED = "SELECT actor, details->>'by', details->>'address' FROM audit_event WHERE action = 'login-failed'"
_ENTERED = "SELECT actor, details->>'by', details->>'token' FROM audit_event WHERE action = 'login-succeeded'"


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


@pytest.fixture
def tokens(database_url: str) -> Iterator[PostgresTokenStore]:
    """The tokens of the door's accounts."""
    database = open_database(database_url, "test")
    yield PostgresTokenStore(database)
    database.close()


def _token(tokens: PostgresTokenStore, account: str, name: str = "key", days: int = 1) -> str:
    text = new_token()
    tokens.add(account, name, token_sha256(text), frozenset({Role(account)}), timedelta(days=days), "tester")
    return text


def _asked(door: WebDoor, token: str, path: str = "/dicom-web/studies") -> int:
    return door.browser(Authorization=f"Bearer {token}").get(path).status_code


def test_a_token_opens_what_its_roles_may_and_no_page(
    web_door: WebDoor, database_url: str, tokens: PostgresTokenStore
) -> None:
    """One row of its login, whatever it asks; more than its roles is denied, and pages are for browsers."""
    token = _token(tokens, "viewer")

    assert [_asked(web_door, token) for _ in range(3)] == [200, 200, 200]
    assert _asked(web_door, token, "/metrics") == 403
    assert _asked(web_door, token, "/studies") == 303
    assert _rows(database_url, _ENTERED) == [("viewer", "token", "key")]
    assert token not in str(_rows(database_url, "SELECT api_token::text FROM api_token"))


@pytest.mark.parametrize("token", ["", "x", "overread_" + "x" * 43, "overread_", "\u00e4" * 40, "x" * 20_000])
def test_a_wrong_token_is_refused_and_audited(web_door: WebDoor, database_url: str, token: str) -> None:
    """401 with what would do; the row repeats nothing of what was sent."""
    answer = web_door.browser().get(
        "/dicom-web/studies", headers={b"Authorization": (b"Bearer " + token.encode()).strip()}
    )

    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert _rows(database_url, _FAILED) == [("unknown", "token", "127.0.0.1")]


def test_a_token_that_ended_is_refused_at_once(
    web_door: WebDoor, database_url: str, tokens: PostgresTokenStore
) -> None:
    """Revoked, past its time, or its account disabled: nothing remembered lets it in."""
    revoked, disabled, over = _token(tokens, "viewer"), _token(tokens, "operator"), _token(tokens, "auditor", days=0)
    assert _asked(web_door, revoked) == _asked(web_door, disabled) == 200

    tokens.revoke("viewer", "key", "tester")
    web_door.accounts.disable("operator", "tester")

    assert [_asked(web_door, token) for token in (revoked, disabled, over)] == [401, 401, 401]
    assert len(_rows(database_url, _FAILED)) == 3


def test_guessing_tokens_is_stopped_and_leaves_bounded_rows(
    web_door: WebDoor, database_url: str, tokens: PostgresTokenStore
) -> None:
    """After ten wrong ones an address is told to wait; a right one from there still comes in."""
    token = _token(tokens, "viewer")

    assert [_asked(web_door, f"wrong {number}") for number in range(12)] == [401] * 10 + [429] * 2
    assert _asked(web_door, token) == 200
    assert len(_rows(database_url, _FAILED)) == 10


def test_a_token_goes_on_while_the_database_is_away(
    web_door: WebDoor, database_url: str, tokens: PostgresTokenStore
) -> None:
    """One that was let in lately may go on; one that nobody can check is told to come again."""
    token = _token(tokens, "operator")
    assert _asked(web_door, token) == 200

    with without_database(database_url):
        known = web_door.browser(Authorization=f"Bearer {token}").post("/dicom-web/studies", content=b"")
        assert known.status_code == 415, "let in, and then told what the body should be"
        assert _asked(web_door, "never seen") == 503


@pytest.fixture
def authority() -> trustme.CA:
    """The authority of the hospital."""
    return trustme.CA()


@pytest.fixture
def certificate_door(database_url: str, tmp_path: Path, authority: trustme.CA) -> Iterator[WebDoor]:
    """A door with TLS that knows the certificates of two programs; one account is called as nobody's."""
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "authority")}
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(files["key"])
    files["key"].chmod(0o600)
    files["chain"].write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    authority.cert_pem.write_to_path(files["authority"])
    mapping = [
        {"subject": "CN=ct1,O=Hospital", "account": "operator"},
        {"subject": "CN=mr1,O=Hospital", "account": "nobody"},
    ]
    settings: dict[str, Any] = {
        "tls_certificate": str(files["chain"]),
        "tls_key": str(files["key"]),
        "tls_client_ca": str(files["authority"]),
        "client_certificates": mapping,
    }
    with opened(database_url, tmp_path / "data", **settings) as door:
        yield door


def _signed(folder: Path, signer: trustme.CA, name: str) -> Path:
    """A certificate with its key; `trustme` gives none whose subject can be told beforehand."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hospital"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    issuer = x509.load_pem_x509_certificate(signer.cert_pem.bytes())
    signing_key = serialization.load_pem_private_key(signer.private_key_pem.bytes(), None)
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer.subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(signing_key, hashes.SHA256())
    )
    file = folder / f"{uuid.uuid4()}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def _shown(door: WebDoor, authority: trustme.CA, signer: trustme.CA | None, name: str = "", **headers: str) -> int:
    """Ask with a certificate of this name that the signer made; the status, or 0 when the handshake failed."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if signer is not None:
        context.load_cert_chain(_signed(door.data_dir.parent, signer, name))
    with httpx.Client(verify=context, headers=headers) as client:
        try:
            return client.get(f"https://127.0.0.1:{door.port}/dicom-web/studies").status_code
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            return 0


def test_a_certificate_is_an_account(certificate_door: WebDoor, database_url: str, authority: trustme.CA) -> None:
    """The subject decides; without a certificate a password does, as before."""
    assert _shown(certificate_door, authority, authority, "ct1") == 200
    assert _shown(certificate_door, authority, authority, "ct1") == 200
    assert _shown(certificate_door, authority, None) == 401
    assert _rows(database_url, _ENTERED) == [("operator", "certificate", None)]
    basic = httpx.BasicAuth("viewer", PASSWORD)._auth_header
    assert _shown(certificate_door, authority, None, Authorization=basic) == 200


def test_a_certificate_that_is_not_listed_lets_nobody_in(
    certificate_door: WebDoor, database_url: str, authority: trustme.CA
) -> None:
    """Our own authority's signature is not enough, nor an account that is not there or disabled; each leaves a row."""
    assert _shown(certificate_door, authority, authority, "stranger") == 401
    assert _shown(certificate_door, authority, authority, "mr1") == 401
    certificate_door.accounts.disable("operator", "tester")
    assert _shown(certificate_door, authority, authority, "ct1") == 401

    told = _rows(database_url, "SELECT actor, details->>'certificate' FROM audit_event WHERE action = 'login-failed'")
    assert told == [
        ("unknown", "CN=stranger,O=Hospital"),
        ("unknown", "CN=mr1,O=Hospital"),
        ("operator", "CN=ct1,O=Hospital"),
    ]


def test_a_certificate_of_another_authority_ends_the_handshake(
    certificate_door: WebDoor, database_url: str, authority: trustme.CA
) -> None:
    """The same subject from elsewhere opens nothing, and the failed handshake has its row."""
    assert _shown(certificate_door, authority, trustme.CA(), "ct1") == 0

    for _ in range(100):  # the row is written beside the handshake, which must not wait
        found = _rows(
            database_url, "SELECT details->>'by', details->>'reason' FROM audit_event WHERE action = 'login-failed'"
        )
        if found:
            break
    [(by, reason)] = found
    assert by == "certificate"
    assert reason
    assert _shown(certificate_door, authority, authority, "ct1") == 200


def test_a_header_that_is_wrong_is_not_mended_by_a_certificate(
    certificate_door: WebDoor, authority: trustme.CA
) -> None:
    """What a request says of itself counts: a wrong token beside a good certificate is refused."""
    assert _shown(certificate_door, authority, authority, "ct1", Authorization="Bearer wrong") == 401
    assert _shown(certificate_door, authority, authority, "ct1", Authorization="Negotiate x") == 401
