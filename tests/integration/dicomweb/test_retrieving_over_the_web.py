"""Real clients retrieve over HTTP what was stored: whole, as metadata, frame by frame."""

import json
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.pixels.utils import pack_bits
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from tests.integration.dicomweb.conftest import WebDoor, file_bytes

NAMES = ("CT_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "rtdose.dcm", "SC_rgb_rle_2frame.dcm", "test-SR.dcm")


def file_of(name: str) -> Path:
    """One of pydicom's test files."""
    return Path(get_testdata_file(name, download=False))


def stored(open_web_door, *names: str) -> WebDoor:
    """A web door that holds these files."""
    door = open_web_door()
    assert door.stow(*map(file_bytes, names)).status_code == 200
    return door


def client(door: WebDoor) -> DICOMwebClient:
    """An independent implementation of the other side."""
    return DICOMwebClient(door.url, session=create_session_from_user_pass("viewer", "secret"))


def path_of(data_set: Dataset) -> str:
    """The address of an instance."""
    return (
        f"/dicom-web/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
        f"/instances/{data_set.SOPInstanceUID}"
    )


def data_set_bytes(content: bytes) -> bytes:
    """What follows preamble and file meta information."""
    return content[144 + dcmread(BytesIO(content), stop_before_pixels=True).file_meta.FileMetaInformationGroupLength :]


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_comes_back_as_it_was_sent(open_web_door, name):
    """The data set is byte for byte the one stored, alone and as a part, to dicomweb-client and to curl."""
    door = stored(open_web_door, name)
    sent = dcmread(file_of(name))

    through_client = client(door).retrieve_instance(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
    alone = subprocess.run(
        [
            "curl",
            "-sf",
            "-u",
            "viewer:x",
            "-H",
            "Accept: application/dicom",
            f"http://127.0.0.1:{door.port}{path_of(sent)}",
        ],
        capture_output=True,
        check=True,
    ).stdout

    assert through_client == sent
    assert data_set_bytes(alone) == data_set_bytes(file_bytes(name))


def test_a_study_and_a_series_come_back_whole(open_web_door):
    """Every instance of a study or series is in one multipart answer."""
    door = open_web_door()
    study, series = generate_uid(), generate_uid()
    sent = {}
    for number in range(5):
        instance = dcmread(file_of("CT_small.dcm"))
        instance.StudyInstanceUID, instance.SeriesInstanceUID = study, series if number else generate_uid()
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        buffer = BytesIO()
        dcmwrite(buffer, instance, enforce_file_format=True)
        sent[str(instance.SOPInstanceUID)] = buffer.getvalue()
    assert door.stow(*sent.values()).status_code == 200

    whole = client(door).retrieve_study(study)
    part = client(door).retrieve_series(study, series)

    assert {str(each.SOPInstanceUID) for each in whole} == set(sent)
    assert len(part) == 4
    assert all(each == dcmread(BytesIO(sent[str(each.SOPInstanceUID)])) for each in whole)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "rtdose.dcm", "test-SR.dcm", "rtplan.dcm"])
def test_metadata_is_what_dcmtk_makes_of_the_file(open_web_door, name):
    """Our DICOM JSON equals dcm2json's, but for bulk data and the character set; what is empty has no Value."""
    door = stored(open_web_door, name)
    sent = dcmread(file_of(name), stop_before_pixels=True)

    [ours] = client(door).retrieve_study_metadata(sent.StudyInstanceUID)
    judged = subprocess.run(["dcm2json", str(file_of(name))], capture_output=True, check=True).stdout
    theirs = {key: value for key, value in json.loads(judged).items() if key > "00030000"}

    for key in ("00080005", "00083002"):
        ours.pop(key, None)
        theirs.pop(key, None)
    pixels = ours.pop("7FE00010", None)
    assert (pixels is not None) == (theirs.pop("7FE00010", None) is not None)
    assert pixels is None or pixels["BulkDataURI"].endswith(f"{path_of(sent)}/bulkdata/7fe00010")
    ours = {key: value for key, value in ours.items() if "InlineBinary" not in value and value["vr"] != "UN"}
    theirs = {key: value for key, value in theirs.items() if "InlineBinary" not in value and value["vr"] != "UN"}
    assert _numbers_as_such(ours) == _numbers_as_such({key: theirs[key] for key in ours if key in theirs})
    assert set(theirs) - set(ours) <= {key for key in theirs if key.startswith(("FFFA", "FFFC"))}


def _numbers_as_such(attributes: object) -> object:
    """DS and IS may be written as numbers or as text (PS3.18 section F.2.3)."""
    if isinstance(attributes, dict):
        return {key: _numbers_as_such(value) for key, value in attributes.items() if key != "SpecificCharacterSet"}
    if isinstance(attributes, list):
        return [_numbers_as_such(value) for value in attributes]
    try:
        return f"{float(attributes):.6g}" if not isinstance(attributes, bool) else attributes
    except (TypeError, ValueError):
        return attributes


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "rtdose.dcm", "SC_rgb_small_odd.dcm", "SC_ybr_full_422_uncompressed.dcm"]
)
def test_native_frames_are_cut_out_of_the_file(open_web_door, name):
    """Each frame is its stretch of the Pixel Data, to dicomweb-client as well."""
    door = stored(open_web_door, name)
    sent = dcmread(file_of(name))
    count = int(sent.get("NumberOfFrames") or 1)
    size = len(sent.PixelData) // count if name != "SC_rgb_small_odd.dcm" else sent.Rows * sent.Columns * 3
    numbers = [count, 1]

    frames = client(door).retrieve_instance_frames(
        sent.StudyInstanceUID,
        sent.SeriesInstanceUID,
        sent.SOPInstanceUID,
        numbers,
        media_types=(("application/octet-stream", "*"),),
    )

    assert frames == [sent.PixelData[(number - 1) * size : number * size] for number in numbers]


def test_frames_of_single_bits_are_packed_anew(open_web_door):
    """A frame of 5 x 7 single bits begins within a byte of the Pixel Data, and at a byte in our answer."""
    masks = np.random.default_rng(1).integers(0, 2, (6, 5, 7), dtype=np.uint8)
    instance = Dataset()
    instance.SOPClassUID, instance.SOPInstanceUID = SegmentationStorage, generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.Modality = generate_uid(), generate_uid(), "SEG"
    instance.PatientID = "P1"
    instance.NumberOfFrames, instance.Rows, instance.Columns = masks.shape
    instance.BitsAllocated = instance.BitsStored = instance.SamplesPerPixel = 1
    instance.HighBit = instance.PixelRepresentation = 0
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.PixelData = pack_bits(masks.ravel())
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, instance, enforce_file_format=True)
    door = open_web_door()
    assert door.stow(buffer.getvalue()).status_code == 200

    frames = client(door).retrieve_instance_frames(
        instance.StudyInstanceUID,
        instance.SeriesInstanceUID,
        instance.SOPInstanceUID,
        list(range(1, 7)),
        media_types=(("application/octet-stream", "*"),),
    )

    for frame, mask in zip(frames, masks, strict=True):
        unpacked = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")
        assert (unpacked[: mask.size] == mask.ravel()).all()
        assert not unpacked[mask.size :].any()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("JPEG2000.dcm", "image/jp2"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg"),
        ("SC_rgb_rle_2frame.dcm", "image/dicom-rle"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls"),
    ],
)
def test_encapsulated_frames_come_as_stored(open_web_door, name, media_type):
    """Each frame is the stored stream under its own media type; as octets only where any transfer syntax is taken."""
    door = stored(open_web_door, name)
    sent = dcmread(file_of(name))
    count = int(sent.get("NumberOfFrames") or 1)
    wanted = list(generate_frames(sent.PixelData, number_of_frames=count))
    whole_list = ",".join(str(number) for number in range(1, count + 1))
    uids = (sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)

    assert client(door).retrieve_instance_frames(*uids, list(range(1, count + 1))) == wanted
    with door.client("viewer") as http:
        for accept, status in [
            (f'multipart/related; type="{media_type}"', 200),
            ('multipart/related; type="application/octet-stream"; transfer-syntax=*', 200),
            ('multipart/related; type="application/octet-stream"', 406),
            ("image/png", 406),
        ]:
            answer = http.get(f"{path_of(sent)}/frames/{whole_list}", headers={"Accept": accept})
            assert answer.status_code == status, (accept, answer.text)
            assert status != 200 or wanted[0] in answer.content


def test_bulk_data_is_where_the_metadata_says(open_web_door):
    """A BulkDataURI answers with the value it stands for: pixels, or another large value."""
    door = stored(open_web_door, "CT_small.dcm", "waveform_ecg.dcm", "JPEG2000.dcm")
    ct = dcmread(file_of("CT_small.dcm"))
    jpeg = dcmread(file_of("JPEG2000.dcm"))
    http = client(door)

    [pixels] = http.retrieve_bulkdata(f"http://127.0.0.1:{door.port}{path_of(ct)}/bulkdata/7fe00010")
    frames = http.retrieve_bulkdata(f"http://127.0.0.1:{door.port}{path_of(jpeg)}/bulkdata/7FE00010")

    assert pixels == ct.PixelData
    assert frames == list(generate_frames(jpeg.PixelData, number_of_frames=1))


_REFUSED = [
    ("/dicom-web/studies/1.2.404", "*/*", 404),
    ("/dicom-web/studies/1.2.003", "*/*", 400),
    ("/dicom-web/studies/%2e%2e", "*/*", 400),
    ("/dicom-web/studies/{study}/series/1.2.404", "*/*", 404),
    ("/dicom-web/studies/1.2.404/series/{series}/instances/{instance}", "*/*", 404),
    ("{path}/frames/2", "*/*", 404),
    ("{path}/frames/0", "*/*", 400),
    ("{path}/frames/1,x", "*/*", 400),
    ("{path}/frames/" + "1," * 20_000 + "1", "*/*", 400),
    ("{path}/bulkdata/00100010", "*/*", 404),
    ("{path}/bulkdata/zz", "*/*", 400),
    ("{path}/metadata", "application/dicom+xml", 406),
    ("{path}", "image/jpeg", 406),
    ("{path}", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', 406),
    ("{path}", "x" * 5000, 406),
    ("{path}", 'multipart/related; type="image/', 406),
]


def test_what_cannot_be_retrieved_is_refused(open_web_door):
    """Unknown, malformed and unacceptable requests get their status and a sentence."""
    door = stored(open_web_door, "CT_small.dcm")
    ct = dcmread(file_of("CT_small.dcm"))
    names = {"study": ct.StudyInstanceUID, "series": ct.SeriesInstanceUID, "instance": ct.SOPInstanceUID}

    with door.client("viewer") as http:
        for address, accept, status in _REFUSED:
            answer = http.get(address.format(path=path_of(ct), **names), headers={"Accept": accept})
            assert answer.status_code == status, (address, accept)
            assert answer.json()["detail"]


def test_a_missing_file_is_told(open_web_door):
    """A file that is gone does not make the answer look whole: 206 for the others, 404 alone."""
    door = stored(open_web_door, "CT_small.dcm")
    ct = dcmread(file_of("CT_small.dcm"))
    other = dcmread(file_of("CT_small.dcm"))
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    buffer = BytesIO()
    dcmwrite(buffer, other, enforce_file_format=True)
    door.stow(buffer.getvalue())
    door.folder.instance(str(ct.SOPInstanceUID)).unlink()

    with door.client("viewer") as http:
        assert http.get(f"/dicom-web/studies/{ct.StudyInstanceUID}").status_code == 206
        assert http.get(path_of(ct)).status_code == 404
        assert http.get(f"{path_of(ct)}/frames/1").status_code == 404
        assert len(http.get(f"/dicom-web/studies/{ct.StudyInstanceUID}/metadata").json()) == 1


def test_every_retrieval_leaves_a_row(open_web_door):
    """Who retrieved what of which study is in the audit trail, before a byte of it was sent."""
    door = stored(open_web_door, "CT_small.dcm")
    ct = dcmread(file_of("CT_small.dcm"))

    with door.client("viewer") as http:
        http.get(path_of(ct))
        http.get(f"{path_of(ct)}/frames/1")
        http.get(f"/dicom-web/studies/{ct.StudyInstanceUID}/metadata")

    found = door.rows(
        "SELECT actor, study_instance_uid, details->>'what' FROM audit_event "
        "WHERE action = 'instances-retrieved' ORDER BY id"
    )
    assert found == [("viewer", ct.StudyInstanceUID, what) for what in ("instances", "frames", "metadata")]


def test_who_may_not_see_images_retrieves_nothing(open_web_door):
    """An auditor watches, but sees no study; a stranger learns nothing."""
    door = stored(open_web_door, "CT_small.dcm")
    ct = dcmread(file_of("CT_small.dcm"))

    for role, status in (("auditor", 403), ("nobody", 401)):
        with door.client(role) as http:
            for address in (path_of(ct), f"{path_of(ct)}/frames/1", "/dicom-web/studies", f"{path_of(ct)}/metadata"):
                assert http.get(address).status_code == status


def test_odd_files_never_end_in_a_fault(open_web_door):
    """Whatever pydicom has among its test files can be stored, searched and asked for without a 5xx."""
    door = open_web_door()
    folder = file_of("CT_small.dcm").parent
    door.stow(*(path.read_bytes() for path in sorted(folder.glob("*.dcm"))))

    with door.client("viewer") as http:
        found = http.get("/dicom-web/instances").json()
        assert len(found) > 30
        for item in found:
            address = item["00081190"]["Value"][0].partition(":")[2].partition("/dicom-web")[2]
            for rest in ("", "/metadata", "/frames/1", "/bulkdata/7fe00010"):
                answer = http.get(f"/dicom-web{address}{rest}")
                assert answer.status_code in (200, 404, 406, 422), (address, rest, answer.text)
                assert rest not in ("", "/metadata") or answer.status_code == 200
