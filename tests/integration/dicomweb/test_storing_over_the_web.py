"""Real clients store over HTTP, and what is no good is answered as PS3.18 says."""

import hashlib
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread

from listener.scp.file_meta import part10_prefix
from listener.web.body import BodyLimits
from listener.web.intake import SET_ASIDE_LIMIT, SPILL_BYTES
from listener.web.set_aside_allowance import SetAsideAllowance
from storage.settings import SpoolSettings
from tests.integration.dicomweb.conftest import CONTENT_TYPE, WebDoor, multipart
from tests.integration.dicomweb.test_rude_http import _REQUEST, connected
from tests.peers.raw_sender import CT, EXPLICIT, ct_data_set, kept_digests, tree
from tests.peers.spool_content import waiting

UID = "1.2.3.4.5"
STUDY = "1.2.3"
_REFERENCED, _FAILED, _OTHERS, _REASON = "00081199", "00081198", "0008119A", "00081197"
_SOP_UID = "00081155"


def part10(data_set: bytes, uid: str = UID, sop_class: str = CT, syntax: str = EXPLICIT) -> bytes:
    """A DICOM file around a data set."""
    return part10_prefix(sop_class, uid, syntax, "") + data_set


def ct_file(uid: str = UID, tail: bytes = b"x") -> bytes:
    """A small CT instance as a file."""
    return part10(ct_data_set(uid, tail), uid)


def large_ct_file(size: int) -> bytes:
    """A CT instance with so many bytes of pixels."""
    return ct_file() + b"\xe0\x7f\x10\x00OW\x00\x00" + size.to_bytes(4, "little") + bytes(size)


def test_dicomweb_client_stores_a_file(open_web_door):
    """What dicomweb-client sends is kept, bit for bit, and answered with where it can be retrieved."""
    door = open_web_door()
    path = get_testdata_file("MR_small.dcm", download=False)
    sent = dcmread(path)
    client = DICOMwebClient(door.url, session=create_session_from_user_pass("operator", "secret"))

    answer = client.store_instances([sent])

    assert [str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence] == [sent.SOPInstanceUID]
    # dicomweb-client leaves the port out of its Host header, so only the rest can be compared.
    assert answer.RetrieveURL.endswith(f"/dicom-web/studies/{sent.StudyInstanceUID}")
    assert "FailedSOPSequence" not in answer or not answer.FailedSOPSequence
    [record] = waiting(door.folder.root)
    assert dcmread(BytesIO(record.data)).PixelData == sent.PixelData


def test_curl_stores_a_file(open_web_door, tmp_path):
    """curl's own multipart is read too, whatever it names the file."""
    door = open_web_door()
    file = tmp_path / "one.dcm"
    file.write_bytes(ct_file())

    done = subprocess.run(
        [
            *("curl", "--silent", "--fail", "--user", "operator:secret"),
            *("--header", 'Content-Type: multipart/related; type="application/dicom"'),
            *("--form", f"file=@{file};type=application/dicom;filename=../../../etc/passwd"),
            f"{door.url}/studies",
        ],
        capture_output=True,
        check=True,
    )

    assert UID.encode() in done.stdout
    assert kept_digests(door.folder.root) == {UID: hashlib.sha256(ct_data_set(UID)).hexdigest()}


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm"])
def test_the_kept_data_set_is_the_sent_one(open_web_door, name):
    """The data set is byte for byte that of the file; preamble and file meta information are ours."""
    door = open_web_door()
    raw = Path(get_testdata_file(name, download=False)).read_bytes()
    meta = dcmread(get_testdata_file(name, download=False), stop_before_pixels=True).file_meta

    answer = door.stow(b"MZ" + raw[2:])

    assert answer.status_code == 200, answer.text
    data_set = raw[144 + meta.FileMetaInformationGroupLength :]
    assert kept_digests(door.folder.root) == {meta.MediaStorageSOPInstanceUID: hashlib.sha256(data_set).hexdigest()}
    [(path, _)] = [(path, path.read_bytes()) for path in door.folder.objects.rglob("*.dcm")]
    assert path.read_bytes()[:128] == bytes(128)  # a preamble can make a file pass for a program
    assert dcmread(path).file_meta.TransferSyntaxUID == meta.TransferSyntaxUID


def test_a_duplicate_is_a_success_and_a_conflict_is_not(open_web_door):
    """Same bytes again: 200, one copy. Other bytes: 409 with 0x0111, the first stays, the second has a row."""
    door = open_web_door()

    assert door.stow(ct_file()).status_code == 200
    assert door.stow(ct_file()).status_code == 200
    conflict = door.stow(ct_file(tail=b"other"))

    assert conflict.status_code == 409
    [failed] = conflict.json()[_FAILED]["Value"]
    assert failed[_SOP_UID]["Value"] == [UID]
    assert failed[_REASON]["Value"] == [0x0111]
    assert conflict.json()[_REFERENCED] == {"vr": "SQ"}
    assert kept_digests(door.folder.root) == {UID: hashlib.sha256(ct_data_set(UID)).hexdigest()}
    assert door.rows("SELECT reason, sop_instance_uid FROM quarantined_object") == [("conflict", UID)]


def test_each_request_has_a_row_with_its_account(open_web_door):
    """Who sent what over the web is known as it is for associations: account, address, counts, and how it ended."""
    door = open_web_door()

    door.stow(ct_file(), b"garbage")

    assert door.rows(
        "SELECT door, account, calling_ae_title, remote_address, ending, stored_count, refused_count FROM association"
    ) == [("web", "operator", "", "127.0.0.1", "released", 1, 1)]
    assert door.rows("SELECT details->>'account' FROM audit_event WHERE action = 'association-ended'") == [
        ("operator",)
    ]


def test_a_mixed_body_is_answered_202(open_web_door):
    """What can be stored is; each other part is told with its reason."""
    door = open_web_door()
    malformed = part10(ct_data_set("1.2.003"), "1.2.003")
    unknown_class = part10(ct_data_set("1.2.9"), "1.2.9", sop_class="1.2.840.10008.1.1")
    unknown_syntax = part10(ct_data_set("1.2.8"), "1.2.8", syntax="1.2.3.99")
    other_uid = part10(ct_data_set("1.2.7"), "1.2.6")

    answer = door.stow(b"no DICOM at all", malformed, ct_file(), unknown_class, unknown_syntax, other_uid)

    assert answer.status_code == 202
    body = answer.json()
    assert [item[_SOP_UID]["Value"] for item in body[_REFERENCED]["Value"]] == [[UID]]
    assert [(item[_SOP_UID]["Value"][0], item[_REASON]["Value"][0]) for item in body[_FAILED]["Value"]] == [
        ("1.2.9", 0x0122),
        ("1.2.8", 0xC122),
        ("1.2.6", 0xA900),
    ]
    assert [item[_REASON]["Value"] for item in body[_OTHERS]["Value"]] == [[0xC000], [0xA900]]
    assert "1.2.003" not in answer.text  # what does not follow the Standard is not repeated
    assert sorted(door.rows("SELECT reason FROM quarantined_object")) == [
        ("identity-mismatch",),
        ("malformed-identifier",),
        ("unparsable",),
    ]


def test_garbage_alone_is_answered_409(open_web_door):
    """A body without one good instance stores nothing; what was sent is in quarantine."""
    door = open_web_door()

    answer = door.stow(b"garbage", b"")

    assert answer.status_code == 409
    assert [item[_REASON]["Value"] for item in answer.json()[_OTHERS]["Value"]] == [[0xC000], [0xC000]]
    assert kept_digests(door.folder.root) == {}


def test_another_study_than_that_of_the_url_fails(open_web_door):
    """An instance of another study than the one named in the URL is not filed there."""
    door = open_web_door()
    study = dcmread(get_testdata_file("CT_small.dcm", download=False)).StudyInstanceUID
    raw = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()

    assert door.stow(raw, study="1.2.3.999").status_code == 409
    assert door.stow(raw, study=study).status_code == 200
    assert door.stow(raw, study="1.2.03").status_code == 400


def test_a_full_spool_is_answered_503(open_web_door):
    """Past its cap the spool takes nothing: the sender keeps its instances and is told when to try again."""
    door = open_web_door(SpoolSettings(cap_bytes=1, min_free_bytes=0))

    answer = door.stow(ct_file())

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()[_FAILED]["Value"][0][_REASON]["Value"] == [0xA700]


def test_a_full_study_takes_no_more_over_the_web(open_web_door):
    """Past its quota an instance of the study fails with 0xA700, and one of another study beside it is stored."""
    door = open_web_door(SpoolSettings(min_free_bytes=0, most_instances_per_study=1))
    assert door.stow(ct_file()).status_code == 200
    door.importer.import_pending()

    answer = door.stow(ct_file("1.2.3.6"), part10(ct_data_set("1.2.4.1", study="1.2.4"), "1.2.4.1"))

    assert answer.status_code == 202
    [failed] = answer.json()[_FAILED]["Value"]
    assert (failed[_SOP_UID]["Value"], failed[_REASON]["Value"]) == (["1.2.3.6"], [0xA700])
    assert [stored[_SOP_UID]["Value"] for stored in answer.json()[_REFERENCED]["Value"]] == [["1.2.4.1"]]


def test_below_the_watermark_a_body_is_not_read(open_web_door):
    """Nobody sends gigabytes for nothing: 503 with Retry-After comes before the first part."""
    door = open_web_door(SpoolSettings(min_free_bytes=2**62))
    with connected(door.port) as peer:
        peer.sendall(_REQUEST + b"Content-Type: %s\r\nContent-Length: 1000000\r\n\r\n" % CONTENT_TYPE.encode())
        answer = peer.recv(65536)

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 30" in answer.lower()


def test_what_is_too_large_is_answered_413(open_web_door):
    """A body or an instance over its limit ends there; what came before it is stored and told."""
    door = open_web_door(limits=BodyLimits(200_000), max_instance_bytes=50_000)

    whole = door.stow(*(ct_file(f"1.2.3.{n}", bytes(40_000)) for n in range(1, 9)))
    instance = door.stow(ct_file(), ct_file("1.2.3.6", bytes(60_000)))

    assert whole.status_code == 413
    assert instance.status_code == 413
    assert [item[_SOP_UID]["Value"] for item in instance.json()[_REFERENCED]["Value"]] == [[UID]]
    assert "max_instance_bytes" in instance.headers["Warning"]
    assert UID in kept_digests(door.folder.root)
    assert "1.2.3.6" not in kept_digests(door.folder.root)


def _peak_above_now(door: WebDoor, size: int, uid: str) -> int:
    """Store an instance of about so many bytes; by how much this process was larger meanwhile than before."""

    def body() -> Iterator[bytes]:
        yield multipart(part10(ct_data_set(uid), uid)).removesuffix(b"\r\n--a-boundary--\r\n")
        yield b"\xe0\x7f\x10\x00OW\x00\x00" + size.to_bytes(4, "little")
        for _ in range(size // 65536):
            yield bytes(65536)
        yield b"\r\n--a-boundary--\r\n"

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before = _kibibytes("VmRSS")
    with door.client() as client:
        answer = client.post("/dicom-web/studies", content=body(), headers={"Content-Type": CONTENT_TYPE})
    assert answer.status_code == 200, answer.text
    return (_kibibytes("VmHWM") - before) * 1024


def _kibibytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


def test_a_large_instance_costs_no_more_memory_than_a_small_one(open_web_door):
    """It goes to the disk while it arrives: 128 MiB add less than 8 MiB to what 18 MiB need."""
    door = open_web_door()
    _peak_above_now(door, 2**20, "1.2.3.1")  # what is imported and allocated once

    small = _peak_above_now(door, 18 * 2**20, "1.2.3.2")
    large = _peak_above_now(door, 128 * 2**20, "1.2.3.3")

    assert large < small + 8 * 2**20
    assert large < 24 * 2**20
    assert set(kept_digests(door.folder.root)) == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}


def test_a_request_cannot_fill_quarantine(open_web_door):
    """Once too many parts were refused the body is read no further; what came before is told, and the account waits."""
    door = open_web_door(allowance=SetAsideAllowance(objects=SET_ASIDE_LIMIT + 5))
    garbage = [b"no DICOM at all"] * (SET_ASIDE_LIMIT + 10)

    first = door.stow(ct_file(), *garbage)
    second = door.stow(*garbage)
    third = door.stow(ct_file())

    assert first.status_code == 400
    assert [item[_SOP_UID]["Value"] for item in first.json()[_REFERENCED]["Value"]] == [[UID]]
    assert len(first.json()[_OTHERS]["Value"]) == SET_ASIDE_LIMIT
    assert second.status_code == third.status_code == 429
    assert len(second.json()[_OTHERS]["Value"]) == 5
    assert int(third.headers["Retry-After"]) > 3000
    assert door.rows("SELECT count(*) FROM quarantined_object") == [(SET_ASIDE_LIMIT + 5,)]
    assert door.rows("SELECT ending, stored_count, refused_count FROM association ORDER BY started_at") == [
        ("aborted", 1, SET_ASIDE_LIMIT),
        ("aborted", 0, 5),
        ("aborted", 0, 0),
    ]


def test_an_instance_that_ends_in_the_middle_leaves_nothing(open_web_door):
    """A body that is cut, or a part over its limit, is discarded also when some of it was on disk already."""
    door = open_web_door(max_instance_bytes=6 * SPILL_BYTES)

    cut = multipart(large_ct_file(4 * SPILL_BYTES))[:-30]
    with door.client() as client:
        answer = client.post("/dicom-web/studies", content=cut, headers={"Content-Type": CONTENT_TYPE})
    too_large = door.stow(large_ct_file(7 * SPILL_BYTES))

    assert (answer.status_code, too_large.status_code) == (400, 413)
    assert kept_digests(door.folder.root) == {}
    assert list(door.folder.large.iterdir()) == []


def test_a_deflated_instance_is_refused(open_web_door):
    """A deflated data set cannot be looked at within a bound, so its transfer syntax is none that is taken here."""
    answer = open_web_door().stow(Path(get_testdata_file("image_dfl.dcm", download=False)).read_bytes())

    assert answer.status_code == 409
    assert [item[_REASON]["Value"] for item in answer.json()[_FAILED]["Value"]] == [[0xC122]]


_NO_STORE_REQUESTS = [
    ({"Content-Type": "application/zip"}, b"PK\x03\x04", 415),
    ({"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=b'}, b"--b--", 415),
    ({"Content-Type": 'multipart/related; type="application/dicom+xml"; boundary=b'}, b"--b--", 415),
    ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b--", 415),
    ({"Content-Type": ""}, b"", 415),
    ({"Content-Type": CONTENT_TYPE, "Content-Encoding": "gzip"}, b"\x1f\x8b", 415),
    ({"Content-Type": CONTENT_TYPE}, multipart(b"x", part_type="application/dicom+json"), 415),
    ({"Content-Type": CONTENT_TYPE, "Accept": "application/dicom+xml"}, multipart(ct_file()), 406),
    ({"Content-Type": 'multipart/related; type="application/dicom"'}, multipart(ct_file()), 400),
    ({"Content-Type": f'multipart/related; type="application/dicom"; boundary={"b" * 9999}'}, b"", 400),
    ({"Content-Type": CONTENT_TYPE}, b"", 400),
    ({"Content-Type": CONTENT_TYPE}, multipart(), 400),
    ({"Content-Type": CONTENT_TYPE}, multipart(ct_file())[:-20], 400),
    ({"Content-Type": CONTENT_TYPE}, b"flood " * 10_000 + b"\r\n" + multipart(ct_file()), 400),
    ({"Content-Type": CONTENT_TYPE}, b"--a-boundary\r\n" + b"X: y\r\n" * 10_000, 400),
    ({"Content-Type": CONTENT_TYPE}, b"--a-boundary\r\nno field\r\n\r\n\r\n--a-boundary--", 400),
]


def test_what_is_no_store_request_is_refused(open_web_door):
    """Archives, references to elsewhere, compressed and malformed bodies get their status; nothing is kept of them."""
    door = open_web_door()

    with door.client() as client:
        for headers, body, status in _NO_STORE_REQUESTS:
            answer = client.post("/dicom-web/studies", content=body, headers=headers)
            assert answer.status_code == status, (headers, answer.text)

    assert kept_digests(door.folder.root) == {}


_ODD_UIDS = ["../../x", "/abs", "..", "", "1" * 65, "1.2\x00.3", "1.2\\3", "%2e%2e", "1.2.३", "1.2.003"]


def test_no_name_from_outside_becomes_a_path(open_web_door, tmp_path):
    """Odd UIDs are refused with 0xA900, and nothing appears outside the data folder."""
    door = open_web_door()
    parent = tree(tmp_path.parent)

    for uid in _ODD_UIDS:
        assert door.stow(part10(ct_data_set(uid), uid)).status_code == 409, uid

    assert tree(tmp_path.parent) - {path for path in tree(tmp_path.parent) if "/data/" in path} == parent - {
        path for path in parent if "/data/" in path
    }
    assert {path.split("/")[0] for path in tree(door.folder.root)} == {
        *("availability", "commitment-reports", "commitments", "evidence", "objects", "quarantine", "spool")
    }


def test_who_may_not_store_is_told_before_the_body_is_read(open_web_door):
    """Without an account 401, with a viewer's 403; a body is never taken from either."""
    door = open_web_door()
    request = {"content": multipart(ct_file()), "headers": {"Content-Type": CONTENT_TYPE}}

    with door.client("viewer") as client:
        assert client.post("/dicom-web/studies", **request).status_code == 403
        assert client.post("/dicom-web/studies", auth=("", ""), **request).status_code in (401, 403)
    assert kept_digests(door.folder.root) == {}
