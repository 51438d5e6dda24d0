"""TLS at the door: who gets in, who does not and why, and that nobody who stalls holds up the others."""

import hashlib
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE

from listener.errors import ListenerError
from listener.main import serve
from listener.scp.acceptor import Acceptor
from listener.settings import ListenerSettings, check_listener_settings
from storage.domain.completeness import Patience
from storage.settings import SpoolSettings
from tests.peers.certificates import Authority, Signed
from tests.peers.raw_sender import CT, EXPLICIT, ct_data_set, kept_digests, rows, send
from tests.peers.upper_layer import Wire, data_pdu, store_command


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The hospital's."""
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> dict[str, str]:
    """The settings of a door with TLS."""
    ours = authority.sign("overread")
    return {"tls_certificate": ours.cert, "tls_key": ours.key, "tls_ca": authority.file}


def echoscu(port: int, authority: Authority, client: Signed | None, *options: str) -> str:
    """What DCMTK's C-ECHO said; empty when it succeeded."""
    identity = ["+tls", client.key, client.cert] if client else ["+tla"]
    done = subprocess.run(
        ["echoscu", *identity, "+cf", authority.file, *options, "-aec", "OVERREAD", "127.0.0.1", str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr + done.stdout


def client_context(authority: Authority, client: Signed | None) -> ssl.SSLContext:
    """Python's own client."""
    context = ssl.create_default_context(cafile=authority.file)
    if client:
        context.load_cert_chain(client.cert, client.key)
    return context


def shake(port: int, context: ssl.SSLContext) -> str:
    """The suite agreed on; empty when we are not let in, which in TLS 1.3 is told with the first byte only."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
                encrypted.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
                encrypted.recv(1)
                return encrypted.cipher()[0]
        except (ssl.SSLError, ConnectionError):
            return ""


@pytest.mark.parametrize("profile", ["--profile-bcp195-nd", "--profile-bcp195", "--profile-bcp195-ex"])
def test_dcmtk_stores_over_tls_with_certificates_on_both_sides(open_door, authority, server, profile):
    """Each profile that DCMTK has for BCP 195 is taken."""
    door = open_door(**server)
    client = authority.sign("ct1")
    command = ["storescu", "-v", "+tls", client.key, client.cert, "+cf", authority.file, profile, "-R"]
    path = get_testdata_file("CT_small.dcm", download=False)
    done = subprocess.run(
        [*command, "-aec", "OVERREAD", "127.0.0.1", str(door.port), path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(kept_digests(door.folder.root)) == 1


def test_pynetdicom_stores_a_large_object_over_tls(open_door, authority, server):
    """Another peer, and an object larger than the buffer."""
    door = open_door(**server)
    entity = AE("PEER")
    entity.add_requested_context(CT, EXPLICIT)
    context = client_context(authority, authority.sign("ct1"))
    association = entity.associate("127.0.0.1", door.port, ae_title="OVERREAD", tls_args=(context, "127.0.0.1"))
    assert association.is_established
    data_set = ct_data_set("1.2.3.1") + b"\xe0\x7f\x10\x00OW\x00\x00\x00\x00\x40\x00" + bytes(0x400000)
    assert send(association, data_set, "1.2.3.1") == 0x0000
    association.release()
    assert kept_digests(door.folder.root) == {"1.2.3.1": hashlib.sha256(data_set).hexdigest()}


def test_who_has_no_good_certificate_does_not_get_in(open_door, database_url, tmp_path, authority, server):
    """None, expired, of another authority, revoked, and no TLS at all: each is refused and leaves its reason."""
    stranger = Authority(tmp_path, "stranger")
    revoked, good = authority.sign("revoked"), authority.sign("ct1")
    door = open_door(**server, tls_crl=authority.revoke(revoked))
    for client in (None, authority.sign("old", days=-1), stranger.sign("ct1"), revoked):
        assert shake(door.port, client_context(authority, client)) == ""
        assert echoscu(door.port, authority, client)
    with Wire(door.port) as plain:
        plain.send(b"\x01\x00\x00\x00\x00\x44" + bytes(68))
        assert plain.receive()[0] != 0x02
    assert shake(door.port, client_context(authority, good))
    assert echoscu(door.port, authority, good) == ""

    door.acceptor.stop()
    door.importer(database_url).import_pending()
    reasons = {reason for (reason,) in rows(database_url, "SELECT reason FROM association WHERE ending = 'rejected'")}
    for word in (
        "peer did not return a certificate",
        "expired",
        "unable to get local issuer",
        "revoked",
        "wrong version",
    ):
        assert any(word in reason for reason in reasons), (word, reasons)
    assert rows(database_url, "SELECT count(*) FROM audit_event WHERE action = 'association-rejected'") == [(9,)]


def test_old_protocols_and_weak_suites_are_refused(open_door, authority, server):
    """TLS 1.1 and suites without forward secrecy or authenticated encryption come to no handshake."""
    door, client = open_door(**server), authority.sign("ct1")
    old = client_context(authority, client)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    assert shake(door.port, old) == ""
    for suite in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA", "DHE-RSA-AES256-GCM-SHA384"):
        weak = client_context(authority, client)
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers(f"{suite}:@SECLEVEL=0")
        assert shake(door.port, weak) == ""
    assert echoscu(door.port, authority, client, "--profile-aes")
    for version, suite in (
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (ssl.TLSVersion.TLSv1_3, "TLS_AES_256_GCM_SHA384"),
    ):
        strong = client_context(authority, client)
        strong.minimum_version = strong.maximum_version = version
        assert shake(door.port, strong) == suite


def test_a_title_is_believed_with_its_certificate_only(open_door, authority, server):
    """The right title and address with another peer's certificate is rejected as not recognized."""
    peer = {"ae_title": "CT1", "networks": ["127.0.0.0/8"], "certificate_subject": "CN=ct1,O=Hospital"}
    door = open_door(**server, peers=[peer, {**peer, "ae_title": "CT2", "certificate_subject": "CN=ct2,O=Hospital"}])
    first, second = authority.sign("ct1"), authority.sign("ct2")

    assert echoscu(door.port, authority, first, "-aet", "CT1") == ""
    assert echoscu(door.port, authority, second, "-aet", "CT2") == ""
    assert "Calling AE Title Not Recognized" in echoscu(door.port, authority, second, "-aet", "CT1")


def test_without_client_certificates_it_is_still_encrypted(open_door, authority, server):
    """By setting, anybody whom the list lets in may come without a certificate."""
    door = open_door(
        tls_certificate=server["tls_certificate"], tls_key=server["tls_key"], tls_client_certificates="none"
    )
    assert echoscu(door.port, authority, None) == ""
    with Wire(door.port) as plain:
        plain.send(b"\x01\x00\x00\x00\x00\x44" + bytes(68))
        assert plain.receive()[0] not in (0x02, 0x03)


def test_stalled_handshakes_hold_up_nobody(open_door, monkeypatch, authority, server):
    """Fifty connections say nothing or half a greeting: a good peer stores meanwhile, and each of them is closed."""
    monkeypatch.setattr("listener.scp.tls.HANDSHAKE_DEADLINE", 2.0)
    door, client = open_door(**server), authority.sign("ct1")
    stalled = [socket.create_connection(("127.0.0.1", door.port), timeout=30) for _ in range(50)]
    trickle = stalled[0]
    for connection in stalled[25:]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    over = threading.Event()

    def keep_trickling() -> None:
        while not over.wait(0.2):
            try:
                trickle.sendall(b"\x16")
            except OSError:
                return

    trickling = threading.Thread(target=keep_trickling)
    trickling.start()
    context = client_context(authority, client)
    for number in range(5):
        with socket.create_connection(("127.0.0.1", door.port), timeout=20) as plain:
            wire = Wire.__new__(Wire)
            wire.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
            wire.associate()
            uid = f"1.2.3.{number}"
            wire.send(data_pdu(store_command(uid), command=True) + data_pdu(ct_data_set(uid)))
            assert wire.status() == 0x0000
    for connection in stalled:
        try:
            while connection.recv(100):
                pass
        except ConnectionResetError:
            pass
        connection.close()
    over.set()
    trickling.join()


def test_certificates_are_exchanged_without_a_restart(open_door, tmp_path, authority, server):
    """New files are used for the next connection; files that cannot be used change nothing and are named."""
    door = open_door(**server)
    client, other = authority.sign("ct1"), Authority(tmp_path, "successor")
    seen = []
    for _ in range(2):
        context = client_context(authority, client)
        context.load_verify_locations(other.file)
        with (
            socket.create_connection(("127.0.0.1", door.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
        ):
            seen.append(encrypted.getpeercert(True))
        successor = other.sign("overread")
        shutil.copy(successor.cert, server["tls_certificate"])
        shutil.copy(successor.key, server["tls_key"])
    assert seen[0] != seen[1]

    Path(server["tls_key"]).write_text("garbage")
    both = client_context(authority, client)
    both.load_verify_locations(other.file)
    assert shake(door.port, both)


def test_unsafe_tls_settings_are_refused(tmp_path, authority, server):
    """Half a pair, no authority, a certificate that is never asked for, a key that all may read: named at the start."""
    peer = {"ae_title": "CT1", "networks": ["10.0.0.0/8"], "certificate_subject": "CN=ct1"}
    for settings, named in (
        ({"tls_certificate": "x"}, "tls_key is missing"),
        ({"tls_key": "x"}, "tls_certificate is missing"),
        ({"tls_certificate": "x", "tls_key": "y"}, "tls_ca is missing"),
        ({"tls_ca": "x"}, "need client certificates"),
        ({"peers": [peer]}, "need client certificates"),
        ({**server, "tls_client_certificates": "none"}, "need client certificates"),
    ):
        with pytest.raises(ListenerError, match=named):
            check_listener_settings(ListenerSettings.model_validate(settings))
    missing = ListenerSettings.model_validate({**server, "port": 0, "tls_key": str(tmp_path / "none")})
    with pytest.raises(ListenerError, match="tls_certificate and tls_key are not"):
        serve(
            missing,
            data_dir=tmp_path / "d",
            database_url="postgresql://x@127.0.0.1:1/x",
            spool=SpoolSettings(),
            patience=Patience.of_quiet(60),
        )
    Path(server["tls_key"]).chmod(0o644)
    with pytest.raises(ListenerError, match="chmod 600"):
        Acceptor(ListenerSettings.model_validate(server), None, None)  # type: ignore[arg-type]
