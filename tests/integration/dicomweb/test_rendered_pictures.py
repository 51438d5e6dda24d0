"""Pictures over HTTP: as PS3.18 has them, for dicomweb-client and for a viewer on another origin."""

import io
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite

from listener.web.dicomweb import frames
from tests.integration.dicomweb.conftest import WebDoor, file_bytes
from tests.integration.dicomweb.test_retrieving_over_the_web import client, path_of
from tests.peers.web_door import PASSWORD, opened

CT, MANY = "CT_small.dcm", "SC_rgb_rle_2frame.dcm"


def read(name: str) -> Dataset:
    """One of pydicom's test files without its pixels."""
    return dcmread(get_testdata_file(name, download=False), stop_before_pixels=True)


def stored(open_web_door, *names: str) -> WebDoor:
    """A web door that holds these files."""
    door = open_web_door()
    assert door.stow(*map(file_bytes, names)).status_code == 200
    return door


def asked(door: WebDoor, name: str, below: str = "/rendered", accept: str = "*/*") -> httpx.Response:
    """Ask for something of an instance."""
    with door.client("viewer") as program:
        return program.get(path_of(read(name)) + below, headers={"Accept": accept})


def test_dicomweb_client_gets_pictures(open_web_door) -> None:
    """An instance as JPEG and PNG, and a frame of many, by an independent client."""
    door = stored(open_web_door, CT, MANY)
    one, many = read(CT), read(MANY)
    uids = (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)

    for media_type, kind in (("image/jpeg", "JPEG"), ("image/png", "PNG")):
        content = client(door).retrieve_instance_rendered(*uids, media_types=(media_type,))
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, picture.size) == (kind, (128, 128))
    content = client(door).retrieve_instance_frames_rendered(
        many.StudyInstanceUID, many.SeriesInstanceUID, many.SOPInstanceUID, [2], media_types=("image/png",)
    )
    expected = dcmread(get_testdata_file(MANY, download=False)).pixel_array[1]
    assert (np.asarray(Image.open(io.BytesIO(content))) == expected).all()
    rows = door.rows("SELECT actor, details->>'what' FROM audit_event WHERE action = 'instances-retrieved'")
    assert rows == [("viewer", "rendered")] * 3


def test_what_is_accepted_decides(open_web_door) -> None:
    """JPEG unless the client prefers PNG; several frames as parts; nothing else is offered."""
    door = stored(open_web_door, CT, MANY)

    assert asked(door, CT).headers["content-type"] == "image/jpeg"
    assert asked(door, CT, accept="image/jpeg;q=0.5, image/png").headers["content-type"] == "image/png"
    several = asked(door, MANY, "/frames/1,2/rendered", 'multipart/related; type="image/png"')
    assert several.headers["content-type"].startswith('multipart/related; type="image/png"')
    assert several.content.count(b"\x89PNG") == 2
    assert asked(door, MANY, "/frames/1,2/rendered", "image/png").status_code == 406
    assert asked(door, CT, accept="image/gif").status_code == 406
    assert asked(door, CT, accept="application/dicom").status_code == 406


def test_window_viewport_and_quality_are_heeded(open_web_door) -> None:
    """A narrow window is black and white only; the picture fits the viewport."""
    door = stored(open_web_door, CT)

    sharp = np.asarray(Image.open(io.BytesIO(asked(door, CT, "/rendered?window=40,1,linear", "image/png").content)))
    small = Image.open(io.BytesIO(asked(door, CT, "/rendered?viewport=50,40&quality=10").content))

    assert set(np.unique(sharp)) == {0, 255}
    assert small.size == (40, 40)


@pytest.mark.parametrize(
    "query",
    [
        *("window=1,2", "window=a,b,linear", "window=1,0,linear", "window=nan,1,linear", "window=1,2,cubic"),
        *("viewport=0,1", "viewport=1", "viewport=99999,1", "viewport=1,1,-1,0,1,1", "quality=0", "quality=101"),
        *("quality=%D9%A1", "annotation=patient", "windw=1,2,linear", "viewport=1e400,1"),
    ],
)
def test_a_wish_that_is_not_understood_is_refused(open_web_door, query: str) -> None:
    """400 with a sentence, never another picture than the one asked for."""
    door = stored(open_web_door, CT)

    assert asked(door, CT, f"/rendered?{query}").status_code == 400


def _changed(name: str, **attributes: object) -> bytes:
    instance = dcmread(io.BytesIO(file_bytes(name)))
    for keyword, value in attributes.items():
        setattr(instance, keyword, value)
    buffer = io.BytesIO()
    dcmwrite(buffer, instance)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", {}, 406),
        ("ExplVR_BigEnd.dcm", {}, 404),
        ("test-SR.dcm", {}, 404),
        ("CT_small.dcm", {"PhotometricInterpretation": "HSV"}, 406),
        ("CT_small.dcm", {"Rows": 65535, "Columns": 65535}, 422),
        ("JPEG2000.dcm", {"Rows": 65535, "Columns": 65535}, 422),
        ("JPEG2000.dcm", {"Rows": 16, "Columns": 16}, 422),
        ("JPEG2000.dcm", {"NumberOfFrames": 2**31 - 1}, 200),
        ("examples_palette.dcm", {"RedPaletteColorLookupTableDescriptor": [1, 0, 8]}, 200),
        ("examples_palette.dcm", {"RedPaletteColorLookupTableDescriptor": [0, 0, 99]}, 422),
    ],
)
def test_what_cannot_be_rendered_is_told(open_web_door, name: str, changes: dict[str, object], status: int) -> None:
    """406 for what we make no picture of, 422 where header and pixels contradict each other; the door goes on."""
    door = open_web_door()
    assert door.stow(_changed(name, **changes)).status_code == 200

    answer = asked(door, name)

    assert answer.status_code == status, answer.text[:200]
    assert status == 200 or answer.json()["detail"]
    assert asked(door, name, "").status_code == 200


def _odd(folder: Path, command: list[str]) -> bytes:
    """A ramp of 25 columns, from black to white, as DCMTK writes it, under the UIDs of a test file of pydicom's."""
    ds = dcmread(get_testdata_file("SC_rgb_small_odd.dcm", download=False))
    ramp = np.repeat(np.tile(np.arange(0, 250, 10, dtype=np.uint8), (16, 1))[..., None], 3, axis=2)
    ds.Rows, ds.Columns, ds.PixelData = 16, 25, ramp.tobytes()
    ds.save_as(folder / "plain.dcm")
    subprocess.run([*command, str(folder / "plain.dcm"), str(folder / "made.dcm")], check=True, capture_output=True)
    return (folder / "made.dcm").read_bytes()


def test_a_jpeg_with_shared_chrominance_may_be_odd_columns_wide(open_web_door, tmp_path: Path) -> None:
    """Blocks of a JPEG are filled up, so its pixels need not come in pairs; DCMTK shows the same picture."""
    door = open_web_door()
    packed = _odd(tmp_path, ["dcmcjpeg", "+eb", "+s2", "--uid-never"])
    assert dcmread(io.BytesIO(packed)).PhotometricInterpretation == "YBR_FULL_422"
    assert door.stow(packed).status_code == 200

    answer = asked(door, "SC_rgb_small_odd.dcm", accept="image/png")

    assert answer.status_code == 200, answer.text
    shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    subprocess.run(["dcmj2pnm", "--write-png", str(tmp_path / "made.dcm"), str(tmp_path / "made.png")], check=True)
    expected = np.asarray(Image.open(tmp_path / "made.png")).astype(int)
    assert shown.shape == expected.shape == (16, 25, 3)
    assert np.abs(shown - expected).max() <= 3


def test_native_pixels_with_shared_chrominance_come_in_pairs(open_web_door, tmp_path: Path) -> None:
    """An odd number of columns contradicts the Standard (PS3.3 section C.7.6.3.1.2), and no picture is made up."""
    door = open_web_door()
    ds = dcmread(io.BytesIO(_odd(tmp_path, ["dcmconv"])))
    ds.PhotometricInterpretation, ds.PixelData = "YBR_FULL_422", bytes(16 * 25 * 2)
    ds.save_as(tmp_path / "native.dcm")
    assert door.stow((tmp_path / "native.dcm").read_bytes()).status_code == 200

    assert asked(door, "SC_rgb_small_odd.dcm").status_code == 422


@pytest.mark.parametrize("below", ["/frames/1", "/rendered"])
def test_an_encoded_frame_that_is_too_large_is_not_read(
    open_web_door, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """A file may claim, or be, one frame of gigabytes; it is 422 and can still be retrieved whole."""
    door = stored(open_web_door, "JPEG2000.dcm")
    monkeypatch.setattr(frames, "FRAME_LIMIT", 100)

    assert asked(door, "JPEG2000.dcm", below, "*/*; transfer-syntax=*").status_code == 422
    assert asked(door, "JPEG2000.dcm", "").status_code == 200


def test_a_frame_that_is_not_there_is_404(open_web_door) -> None:
    """And a list that is none 400."""
    door = stored(open_web_door, CT)

    assert asked(door, CT, "/frames/2/rendered").status_code == 404
    assert asked(door, CT, "/frames/0/rendered").status_code == 400
    assert asked(door, CT, f"/frames/{','.join(['1'] * 101)}/rendered").status_code == 400


ORIGIN = "https://viewer.hospital.example"


def test_a_viewer_of_a_stated_origin_may_read(database_url: str, tmp_path: Path) -> None:
    """The browser's question beforehand and the answer name that origin alone, for DICOMweb alone, without cookies."""
    with opened(database_url, tmp_path, viewer_origins=[ORIGIN]) as door:
        browser = door.browser(Origin=ORIGIN)
        question = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}

        before = browser.options("/dicom-web/studies", headers=question)
        answer = browser.get("/dicom-web/studies", auth=("viewer", PASSWORD))

        assert before.status_code == 204
        assert before.headers["access-control-allow-origin"] == ORIGIN
        assert "Authorization" in before.headers["access-control-allow-headers"]
        assert "POST" not in before.headers["access-control-allow-methods"]
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "x-total-count" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        assert "access-control-allow-origin" not in browser.get("/login").headers
        assert browser.post("/dicom-web/studies", auth=("operator", PASSWORD)).status_code == 403


def test_other_origins_may_not(database_url: str, tmp_path: Path) -> None:
    """Not one that looks alike, and none at all while none is stated."""
    with opened(database_url, tmp_path, viewer_origins=[ORIGIN]) as door:
        for origin in ("https://evil.example", f"{ORIGIN}.evil.example", "null", "http://viewer.hospital.example"):
            answer = door.browser(Origin=origin).get("/dicom-web/studies", auth=("viewer", PASSWORD))
            assert "access-control-allow-origin" not in answer.headers, origin
            assert door.browser(Origin=origin).options("/dicom-web/studies").status_code == 405
