"""Real peers store into a running listener."""

import hashlib
import logging
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread

from listener.errors import PortBusy
from listener.scp.acceptor import Acceptor
from listener.scp.association_policy import AssociationPolicy
from listener.scp.presentation_contexts import RETIRED_STORAGE_CLASSES
from listener.scp.store import StoreHandler
from listener.settings import ListenerSettings
from storage.objects.object_store import ObjectStore
from storage.settings import SpoolSettings
from tests.peers.raw_sender import CT, EXPLICIT, associated, ct_data_set, kept_digests, rows, send, tree
from tests.peers.spool_content import waiting

UID = "1.2.3.4.5"


def dcmtk(*command: str) -> subprocess.CompletedProcess:
    """Run one of DCMTK's programs."""
    return subprocess.run([*command], capture_output=True, text=True, timeout=60, check=False)


def data_set_of(name: str) -> tuple[str, bytes]:
    """SOP Instance UID and data set bytes of one of pydicom's test files."""
    raw = Path(get_testdata_file(name, download=False)).read_bytes()
    meta = dcmread(get_testdata_file(name, download=False), stop_before_pixels=True).file_meta
    return meta.MediaStorageSOPInstanceUID, raw[144 + meta.FileMetaInformationGroupLength :]


def test_echoscu_is_answered(open_door):
    """DCMTK's C-ECHO succeeds."""
    door = open_door()

    assert dcmtk("echoscu", "-aec", "OVERREAD", "127.0.0.1", str(door.port)).returncode == 0


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("CT_small.dcm", "-xe"),
        ("MR_small.dcm", "-x="),
        ("MR_small_implicit.dcm", "-xi"),
        ("MR_small_bigendian.dcm", "-xb"),
        ("MR_small_RLE.dcm", "-xr"),
        ("SC_rgb_jpeg_dcmtk.dcm", "-xy"),
        ("JPEG2000.dcm", "-xw"),
        ("MR_small_jp2klossless.dcm", "-xv"),
        ("MR_small_jpeg_ls_lossless.dcm", "-xt"),
    ],
)
def test_storescu_stores_each_transfer_syntax(open_door, name, option):
    """What DCMTK sends in the file's own transfer syntax is kept, bit for bit in its pixel data."""
    door = open_door()
    path = get_testdata_file(name, download=False)
    sent = dcmread(path)

    result = dcmtk("storescu", option, "-R", "-aec", "OVERREAD", "127.0.0.1", str(door.port), path)

    assert result.returncode == 0, result.stderr
    [record] = waiting(door.folder.root)
    kept = dcmread(BytesIO(record.data))
    assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert kept.file_meta.SourceApplicationEntityTitle == "STORESCU"
    assert kept.PixelData == sent.PixelData


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm"])
def test_the_kept_data_set_is_the_sent_one(open_door, name):
    """The bytes after our file meta information are exactly those sent, private elements, padding and all."""
    door = open_door(deflated_transfer_syntaxes=True)
    uid, data_set = data_set_of(name)
    meta = dcmread(get_testdata_file(name, download=False), stop_before_pixels=True).file_meta
    sop_class = str(meta.MediaStorageSOPClassUID)

    with associated(door.port, contexts=((sop_class, str(meta.TransferSyntaxUID)),)) as association:
        assert send(association, data_set, uid, sop_class_uid=sop_class) == 0x0000

    assert kept_digests(door.folder.root) == {uid: hashlib.sha256(data_set).hexdigest()}


def test_the_peers_first_transfer_syntax_is_taken(open_door):
    """We spare the sender a conversion, but take Implicit VR only when nothing else is offered."""
    door = open_door()
    from pynetdicom import AE

    entity = AE("PEER")
    entity.add_requested_context(CT, ["1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70", EXPLICIT])
    association = entity.associate("127.0.0.1", door.port, ae_title="OVERREAD")

    [context] = association.accepted_contexts
    association.release()
    assert context.transfer_syntax == ["1.2.840.10008.1.2.4.70"]


def test_retired_classes_are_accepted_and_others_are_not(open_door):
    """Retired storage classes are served; a query class is rejected as unsupported."""
    door = open_door()
    contexts = tuple((uid, EXPLICIT) for uid in RETIRED_STORAGE_CLASSES)

    with associated(door.port, contexts=(*contexts, ("1.2.840.10008.5.1.4.1.2.2.1", EXPLICIT))) as association:
        assert len(association.accepted_contexts) == len(RETIRED_STORAGE_CLASSES)
        assert [context.result for context in association.rejected_contexts] == [3]
        retired = association.accepted_contexts[0].abstract_syntax
        data_set = ct_data_set(UID).replace(CT.encode() + b"\x00", retired.encode().ljust(len(CT) + 1, b"\x00"))
        assert send(association, data_set, UID, sop_class_uid=retired) == 0x0000


def test_a_duplicate_is_a_success_and_a_conflict_is_not(open_door, database_url):
    """Same bytes: 0x0000, one copy. Other bytes: 0x0111, the first stays, the second has a row."""
    door = open_door()

    with associated(door.port) as association:
        assert send(association, ct_data_set(UID), UID) == 0x0000
        assert send(association, ct_data_set(UID), UID) == 0x0000
        assert send(association, ct_data_set(UID, b"other"), UID) == 0x0111

    door.acceptor.stop()  # waits for the note of the association
    door.importer(database_url).import_pending()
    digest = hashlib.sha256(ct_data_set(UID)).hexdigest()
    assert kept_digests(door.folder.root) == {UID: digest}
    assert rows(database_url, "SELECT sop_instance_uid, sha256 FROM instance") == [(UID, digest)]
    assert rows(database_url, "SELECT reason, sop_instance_uid FROM quarantined_object") == [("conflict", UID)]
    assert rows(database_url, "SELECT ending, stored_count, refused_count FROM association") == [("released", 2, 1)]


def test_eight_peers_that_send_the_same_instance_leave_one_copy(open_door, database_url):
    """All eight get 0x0000; there is one object and one row."""
    door = open_door()
    together = threading.Barrier(8)

    def store(_) -> int | None:
        with associated(door.port) as association:
            together.wait()
            return send(association, ct_data_set(UID), UID)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(store, range(8))) == [0x0000] * 8

    door.importer(database_url).import_pending()
    assert len(kept_digests(door.folder.root)) == 1
    assert rows(database_url, "SELECT count(*) FROM instance") == [(1,)]


def test_a_full_spool_is_out_of_resources(open_door):
    """0xA700, and nothing is kept; a later instance that fits is stored."""
    door = open_door(SpoolSettings(cap_bytes=4000, min_free_bytes=0))

    with associated(door.port) as association:
        assert send(association, ct_data_set(UID) + bytes(8000), UID) == 0xA700
        assert kept_digests(door.folder.root) == {}
        assert send(association, ct_data_set("1.2.3.4.6"), "1.2.3.4.6") == 0x0000


def test_a_disk_error_is_out_of_resources(open_door, database_url, monkeypatch):
    """EIO from one sync gives 0xA700 and never 0x0000; the next try succeeds, and one object comes of both."""
    import os

    door = open_door()
    real, failed = os.fdatasync, []

    def fail_once(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    with associated(door.port) as association:
        assert send(association, ct_data_set(UID), UID) == 0xA700
        assert send(association, ct_data_set(UID), UID) == 0x0000
    door.importer(database_url).import_pending()
    assert rows(database_url, "SELECT sop_instance_uid FROM instance") == [(UID,)]
    assert rows(database_url, "SELECT reason FROM quarantined_object") == []


@pytest.mark.parametrize(
    "uid", ["../../x", "1" * 65, "", "1.2.\x003", "1.2.003", "..", "/abs", "1.2.3 4", "%2e%2e", "1.²"]
)
def test_a_hostile_uid_is_refused_and_leaves_the_folder(open_door, database_url, tmp_path, uid):
    """0xA900; nothing appears outside the data folder, no name inside carries the UID, and the bytes have a row."""
    door = open_door()
    before = tree(tmp_path)

    with associated(door.port) as association:
        assert send(association, ct_data_set("1.2.3.4.5"), uid) == 0xA900
        assert send(association, ct_data_set("1.2.3.4.5"), "1.2.3.4.5") == 0x0000  # the association goes on

    appeared = tree(tmp_path) - before
    assert all(path.startswith("data/") and (len(uid) < 5 or uid not in path) for path in appeared)
    door.importer(database_url).import_pending()
    assert rows(database_url, "SELECT reason, sop_instance_uid FROM quarantined_object") == [
        ("malformed-identifier", "")
    ]


def test_garbage_cannot_be_understood_and_has_a_row(open_door, database_url):
    """0xC000; the bytes are in quarantine and their row names reason, digest and association."""
    door = open_door()
    garbage = b"this is not a data set " * 100

    with associated(door.port) as association:
        assert send(association, garbage, UID) == 0xC000

    door.importer(database_url).import_pending()
    [(reason, uid, sha256, quarantine_id)] = rows(
        database_url, "SELECT reason, sop_instance_uid, sha256, quarantine_id FROM quarantined_object"
    )
    assert (reason, uid, sha256) == ("unparsable", UID, hashlib.sha256(garbage).hexdigest())
    assert door.folder.quarantined(quarantine_id).read_bytes() == garbage


def test_a_class_that_was_not_negotiated_is_not_supported(open_door):
    """A command naming another storage class than its context's gets 0x0122."""
    with associated(open_door().port) as association:
        assert send(association, ct_data_set(UID), UID, sop_class_uid="1.2.840.10008.5.1.4.1.1.4") == 0x0122


def test_another_called_title_is_rejected_and_recorded(open_door, database_url, caplog):
    """Result 1, source 1, reason 7; the rejection has a row with a sentence, and the log names both titles."""
    caplog.set_level(logging.INFO, "listener.scp")
    door = open_door()

    with associated(door.port, called="OTHER") as association:
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)

    door.acceptor.stop()
    door.importer(database_url).import_pending()
    [(ending, reason)] = rows(database_url, "SELECT ending, reason FROM association")
    assert ending == "rejected"
    assert "not ours" in reason
    assert "calling 'OTHER') was rejected" in caplog.text


def test_a_peer_that_is_not_listed_is_rejected(open_door):
    """With peers listed, another title from this machine is rejected as calling AE title not recognized."""
    door = open_door(peers=[{"ae_title": "CT1", "networks": ["127.0.0.0/8"]}])

    assert "Calling AE Title Not Recognized" in dcmtk("echoscu", "-aec", "OVERREAD", "127.0.0.1", str(door.port)).stderr
    assert dcmtk("echoscu", "-aet", "CT1", "-aec", "OVERREAD", "127.0.0.1", str(door.port)).returncode == 0


def test_one_association_too_many_is_rejected_for_now(open_door):
    """The limit counts open associations; after a release there is room again."""
    door = open_door(max_associations=1)

    with associated(door.port) as first:
        assert first.is_established
        with associated(door.port) as second:
            assert second.is_rejected
            answer = second.acceptor.primitive
            assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)


def test_a_full_disk_lets_nobody_in_for_now(open_door):
    """Below the watermark a new association is put off as temporary congestion, and told apart from a stranger's."""
    door = open_door(SpoolSettings(min_free_bytes=2**60))

    with associated(door.port) as association:
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 1)


def test_a_further_title_of_ours_is_answered(open_door, database_url):
    """A route's title is called like our own, and the association's row keeps it."""
    door = open_door(routes=[{"ae_title": "STAT"}])

    for called in ("OVERREAD", "STAT"):
        with associated(door.port, called=called) as association:
            assert association.is_established

    door.acceptor.stop()
    door.importer(database_url).import_pending()
    assert {title for (title,) in rows(database_url, "SELECT called_ae_title FROM association")} == {"OVERREAD", "STAT"}


def test_an_abort_is_recorded_as_one(open_door, database_url):
    """An association that ends by A-ABORT has its row with ending aborted, and keeps what was acknowledged."""
    door = open_door()

    with associated(door.port) as association:
        assert send(association, ct_data_set(UID), UID) == 0x0000
        association.abort()

    door.acceptor.stop()
    door.importer(database_url).import_pending()
    assert rows(database_url, "SELECT ending, stored_count FROM association") == [("aborted", 1)]
    ObjectStore(door.folder).verify(UID, hashlib.sha256(ct_data_set(UID)).hexdigest())


def test_a_busy_port_is_named(open_door):
    """A second listener on the port raises PortBusy with host and port."""
    door = open_door()
    settings = ListenerSettings(port=door.port)

    with pytest.raises(PortBusy, match=rf"Port {door.port} on 127\.0\.0\.1 "):
        Acceptor(settings, AssociationPolicy(settings), StoreHandler(door.spool)).start()


def test_an_endless_pdu_is_cut_off(open_door):
    """A PDU that claims 4 GiB ends its connection at once; others are served."""
    import socket

    door = open_door()
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
        connection.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(100))
        assert connection.recv(100) in (b"", b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")

    with associated(door.port) as association:
        assert send(association, ct_data_set(UID), UID) == 0x0000
