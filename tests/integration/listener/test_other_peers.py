"""Peers that share no code with ours, as they come."""

import struct
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, StoragePresentationContexts

from tests.peers.raw_sender import ct_data_set, kept_digests
from tests.peers.upper_layer import Wire, data_pdu, store_command

NAMES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm")


def files() -> list[str]:
    """A few of pydicom's test files."""
    return [get_testdata_file(name, download=False) for name in NAMES]


def test_orthanc_sends_what_it_holds(open_door, start_orthanc):
    """Orthanc's C-STORE of a whole study ends without a failure, and we hold what it held."""
    door = open_door()
    orthanc = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", door.port)})
    path = Path(get_testdata_file("CT_small.dcm", download=False))
    orthanc.upload(path)

    answer = orthanc.send_study(str(dcmread(path).StudyInstanceUID), "overread")

    assert answer["FailedInstancesCount"] == 0
    assert list(kept_digests(door.folder.root)) == [dcmread(path).SOPInstanceUID]


@pytest.mark.parametrize("options", [(), ("--max-send-pdu", "4096"), ("--max-pdu", "4096"), ("+ma",)])
def test_dcmsend_sends_all_in_one_association(open_door, options):
    """DCMTK's dcmsend, with PDUs as small as they come, and with an association for each context."""
    door = open_door()
    done = subprocess.run(
        ["dcmsend", "-v", *options, "-aec", "OVERREAD", "127.0.0.1", str(door.port), *files()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(kept_digests(door.folder.root)) == len(NAMES)


def test_storescu_proposes_everything_it_knows(open_door):
    """DCMTK's storescu without -R proposes 120 contexts; the instances go through."""
    door = open_door()
    command = ["storescu", "-aec", "OVERREAD", "127.0.0.1", str(door.port), *files()[:2]]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    assert len(kept_digests(door.folder.root)) == 2


def test_pynetdicom_stores_with_128_contexts(open_door):
    """pynetdicom, with all the storage contexts it knows."""
    door = open_door()
    entity = AE("PEER")
    entity.requested_contexts = StoragePresentationContexts[:128]
    association = entity.associate("127.0.0.1", door.port, ae_title="OVERREAD")
    assert association.send_c_store(dcmread(files()[0])).Status == 0x0000
    association.release()
    assert association.is_released


@pytest.mark.parametrize("depth", [50, 200, 1000, 20_000])
@pytest.mark.parametrize("length", ["undefined", "defined"])
def test_deep_nesting_is_answered_and_takes_nothing_with_it(open_door, depth, length):
    """A data set that nests without end before its identity is refused with 0xC000, and the association goes on."""
    nested = b""
    if length == "undefined":
        nested = struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 2**32 - 1) + struct.pack("<HHL", 0xFFFE, 0xE000, 2**32 - 1)
        nested *= depth
    else:
        for _ in range(min(depth, 2000)):
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
            nested = struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, len(item)) + item
    with Wire(open_door().port) as wire:
        wire.associate()
        wire.send(data_pdu(store_command("1.2.3"), command=True))
        for start in range(0, len(nested), 100_000):
            wire.send(data_pdu(nested[start : start + 100_000], last=False))
        wire.send(data_pdu(b""))
        assert wire.status() in (0xC000, 0xA900)
        wire.send(data_pdu(store_command("1.2.4"), command=True) + data_pdu(ct_data_set("1.2.4")))
        assert wire.status() == 0x0000


def test_one_instance_in_two_studies_is_a_conflict(open_door, database_url):
    """The same SOP Instance UID in another study never replaces the first (T22)."""
    door = open_door()
    with Wire(door.port) as wire:
        wire.associate()
        for study, status in (("1.2.3", 0x0000), ("1.2.4", 0x0111), ("1.2.3", 0x0000)):
            wire.send(data_pdu(store_command("1.9"), command=True) + data_pdu(ct_data_set("1.9", study=study)))
            assert wire.status() == status
