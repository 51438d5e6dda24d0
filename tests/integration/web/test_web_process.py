"""`overread web` as a process: where it refuses to listen, how it speaks TLS, how it ends."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from listener.web.passwords import hash_password
from storage.domain.account import Role
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.engine import open_database
from tests.peers.web_door import PASSWORD

_DEADLINE = 60.0

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts `overread web` with these settings over a fresh database; ends what is still running."""
    started: list[subprocess.Popen[str]] = []

    def new(**settings: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        environment = inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(tmp_path / "data"),
            "OVERREAD_DATABASE_URL": database_url,
            "OVERREAD_SPOOL_MIN_FREE_BYTES": "0",
            **{f"OVERREAD_{name.upper()}": value for name, value in settings.items()},
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "overread", "web"], env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield new
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _refusal(process: subprocess.Popen[str]) -> str:
    """The one sentence of a process that would not start."""
    _, told = process.communicate(timeout=_DEADLINE)
    assert process.returncode == 1, told
    (line,) = told.splitlines()
    return line


def _port(process: subprocess.Popen[str]) -> int:
    """The port it says it listens on."""
    assert process.stderr is not None
    for line in process.stderr:
        if "The web door listens on" in line:
            return int(line.rstrip(". \n").rpartition(" ")[2])
    raise AssertionError("it ended without listening")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """Settings with a certificate for this machine, and what a client needs to trust it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return {"web_tls_certificate": str(chain), "web_tls_key": str(key)}, trusting


def _add_account(database_url: str) -> None:
    database = open_database(database_url, "test")
    try:
        directory = PostgresAccountDirectory(database)
        directory.add("operator", hash_password(PASSWORD), frozenset({Role.OPERATOR}), "tester")
    finally:
        database.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "this-host.example"])  # noqa: S104 - must be refused
def test_it_does_not_listen_to_a_network_unencrypted(start: Start, database_url: str, host: str) -> None:
    """Beyond loopback, neither TLS nor a stated proxy: it ends and names the lines to change, account or not."""
    _add_account(database_url)

    told = _refusal(start(web_host=host, web_port="0"))

    assert host in told
    assert "tls_certificate" in told
    assert "behind_proxy = true" in told


def test_it_does_not_listen_to_a_network_without_an_account(
    start: Start, database_url: str, certificate: tuple[dict[str, str], ssl.SSLContext]
) -> None:
    """Encrypted but without anybody who could log in: it ends and names the command; a disabled account is nobody."""
    settings, _ = certificate
    everywhere = {"web_host": "0.0.0.0", "web_port": "0"}  # noqa: S104 - as an administrator would
    assert "overread users add" in _refusal(start(**everywhere, **settings))
    proxied = {"web_behind_proxy": "true", "web_proxy_addresses": '["127.0.0.1/32"]'}
    assert "overread users add" in _refusal(start(**everywhere, **proxied))

    _add_account(database_url)
    database = open_database(database_url, "test")
    PostgresAccountDirectory(database).disable("operator", "tester")
    database.close()
    assert "overread users add" in _refusal(start(**everywhere, **settings))


def test_with_account_and_certificate_it_speaks_tls_to_the_network(
    start: Start, database_url: str, certificate: tuple[dict[str, str], ssl.SSLContext]
) -> None:
    """The certificate of the settings, TLS 1.2 or later, and cookies that never travel unencrypted."""
    _add_account(database_url)
    settings, trusting = certificate
    port = _port(start(web_host="0.0.0.0", web_port="0", **settings))  # noqa: S104

    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting) as client:
        page = client.get("/login")
        assert page.status_code == 200
        assert "Secure" in page.headers["set-cookie"]
        assert "__Host-" in page.headers["set-cookie"]
        assert client.get("/metrics", auth=("operator", PASSWORD)).status_code == 200
    assert _handshake(port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(port, ssl.TLSVersion.TLSv1_1)


def test_stalled_and_weak_handshakes_are_ended_beside_good_ones(
    start: Start, database_url: str, certificate: tuple[dict[str, str], ssl.SSLContext]
) -> None:
    """Fifty that say nothing or half a hello keep nobody out and are closed; suites that BCP 195 warns of fail."""
    _add_account(database_url)
    settings, trusting = certificate
    port = _port(start(web_port="0", **settings))

    stalled = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(50)]
    for each in stalled[::2]:
        each.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting) as client:
        assert [client.get("/login").status_code for _ in range(5)] == [200] * 5
    for each in stalled:
        with contextlib.suppress(ConnectionError):
            assert each.recv(64) == b""  # closed by the door; a minute is the test's patience
        each.close()
    for suites in ("ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256:AES256-SHA"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _handshake(port, ssl.TLSVersion.TLSv1_2, suites)


def _handshake(port: int, version: ssl.TLSVersion, suites: str = "ALL") -> str | None:
    """The version that a client gets which speaks only this one, whatever this machine's policy is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{suites}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as wrapped:
        return wrapped.version()


def test_a_key_that_everybody_may_read_is_refused(
    start: Start, certificate: tuple[dict[str, str], ssl.SSLContext]
) -> None:
    """Whoever has the key can speak as the door, so it ends and says what to do."""
    settings, _ = certificate
    Path(settings["web_tls_key"]).chmod(0o644)

    assert "chmod 600" in _refusal(start(web_port="0", **settings))


def test_a_key_that_is_none_is_one_sentence(start: Start, tmp_path: Path) -> None:
    """A wrong file is told at the start, not at the first request."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no key")

    told = _refusal(start(web_port="0", web_tls_certificate=str(broken), web_tls_key=str(broken)))

    assert "[web] tls_certificate and tls_key" in told


def test_a_port_that_is_taken_is_one_sentence(start: Start) -> None:
    """It names the port, the section and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        told = _refusal(start(web_port=str(port)))

    assert f"Port {port} on 127.0.0.1 is already in use" in told
    assert "[web] port" in told


def test_a_stop_ends_open_pages_and_the_process(start: Start, database_url: str) -> None:
    """SIGTERM ends with status 0 while a browser still listens for changes."""
    _add_account(database_url)
    process = start(web_port="0")
    with httpx.Client(base_url=f"http://127.0.0.1:{_port(process)}", timeout=_DEADLINE) as client:
        proof = client.get("/login").text.partition('name="proof" value="')[2].partition('"')[0]
        client.post("/login", data={"name": "operator", "password": PASSWORD, "proof": proof})
        with client.stream("GET", "/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("event: marker")
            process.send_signal(signal.SIGTERM)
            for _ in lines:
                pass

    assert process.wait(_DEADLINE) == 0


def test_without_its_database_it_lives_and_is_not_ready(start: Start) -> None:
    """Health tells a process that must be restarted from one that waits; nobody is let in meanwhile."""
    process = start(web_port="0", database_url="postgresql://nobody@127.0.0.1:1/nothing")
    with httpx.Client(base_url=f"http://127.0.0.1:{_port(process)}", timeout=_DEADLINE) as client:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["failing"]) == (503, ["database"])
        assert client.get("/metrics", auth=("operator", PASSWORD)).status_code == 503
        assert client.get("/login").status_code == 503
        assert "does not answer" in client.get("/login").text
