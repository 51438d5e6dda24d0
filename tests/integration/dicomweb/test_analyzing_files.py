"""Files sent to the API become a study that is analysed at once, or are refused with a sentence."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid

from storage.postgres.engine import open_database
from tests.integration.dicomweb.conftest import CONTENT_TYPE, file_bytes, multipart
from tests.peers.web_door import PASSWORD, WebDoor, without_database

_FORM = "multipart/form-data; boundary=b"


def picture(kind: str = "PNG") -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(buffer, kind)
    return buffer.getvalue()


def instance(**attributes: Any) -> bytes:
    """A CT instance with some attributes changed."""
    changed = dcmread(io.BytesIO(file_bytes("CT_small.dcm")))
    for keyword, value in attributes.items():
        setattr(changed, keyword, value)
    changed.file_meta.MediaStorageSOPInstanceUID = changed.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, changed)
    return buffer.getvalue()


@pytest.fixture
def program(api_door: WebDoor) -> httpx.Client:
    """A program with an operator's account."""
    client = api_door.browser()
    client.auth = ("operator", PASSWORD)
    return client


def send(program: httpx.Client, *files: bytes, **fields: str) -> httpx.Response:
    """Have files analysed."""
    return program.post("/api/v1/analyze", data=fields, files=[("files", ("name", file)) for file in files])


def rows(door: WebDoor, database_url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    from sqlalchemy import text

    database = open_database(database_url, "test")
    try:
        with database.transaction() as session:
            return [tuple(row) for row in session.execute(text(query))]
    finally:
        database.close()


def test_dicom_files_are_stable_at_once(api_door: WebDoor, program: httpx.Client, database_url: str) -> None:
    """202 with a Location; the study is a revision already, and why nobody analyses it can be read there.

    The same files again change nothing; other bytes under the same UID are refused.
    """
    files = [instance(SOPInstanceUID=generate_uid(), InstanceNumber=number) for number in (1, 2)]

    answer = send(program, *files)

    study = dcmread(io.BytesIO(files[0])).StudyInstanceUID
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v1/analyses/{study}"
    told = program.get(answer.headers["location"]).json()
    assert (told["state"], told["revision"], told["images"]) == ("not-analysed", 1, 2)
    assert told["reason"]["code"] == "no-algorithm"
    assert send(program, *files).status_code == 202
    uid = dcmread(io.BytesIO(files[0])).SOPInstanceUID
    conflict = send(program, instance(SOPInstanceUID=uid, PatientComments="other"))
    assert conflict.status_code == 409
    assert "0x0111" in conflict.json()["detail"]
    assert rows(api_door, database_url, "SELECT revision FROM study") == [(1,)]
    looks = "SELECT actor, details->>'what' FROM audit_event WHERE action = 'study-viewed'"
    assert rows(api_door, database_url, looks) == [("operator", "analysis")]


def test_a_waiting_answer_comes_when_it_is_over(program: httpx.Client) -> None:
    """`wait` holds the answer back until the end, which here comes at once; then it is 200."""
    answer = program.post("/api/v1/analyze?wait=60", files=[("files", file_bytes("CT_small.dcm"))])

    assert (answer.status_code, answer.json()["finished"]) == (200, True)


def test_a_parameter_that_nobody_knows_is_refused(program: httpx.Client) -> None:
    """A misspelt `wait` is told instead of being ignored, and nothing is stored."""
    answer = program.post("/api/v1/analyze?wiat=60", files=[("files", file_bytes("CT_small.dcm"))])

    assert answer.status_code == 400
    assert "wait" in answer.json()["detail"]


def test_what_cannot_be_analysed_is_refused(api_door: WebDoor, program: httpx.Client, database_url: str) -> None:
    """Archives, other formats, mixed and unnamed files get their status; nothing of them is kept."""
    ct, other_study = file_bytes("CT_small.dcm"), instance(SOPInstanceUID="1.2.5", StudyInstanceUID="1.2.6")
    huge = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00" + bytes(4)
    sent = [
        (send(program, b"PK\x03\x04" + bytes(200)), 415),
        (send(program, picture("GIF"), modality="MR"), 415),
        (send(program, b""), 415),
        (send(program, picture()), 422),
        (send(program, picture()[:50], modality="MR"), 422),
        (send(program, huge, modality="MR"), 422),
        (send(program, picture(), modality="<script>"), 422),
        (send(program, picture(), modality="M" * 17), 422),
        (send(program, picture(), colour="red", modality="MR"), 422),
        (program.post("/api/v1/analyze", data={"modality": "MR"}), 415),
        (program.post("/api/v1/analyze", content=b"--b--\r\n", headers={"Content-Type": _FORM}), 422),
        (program.post("/api/v1/analyze", content=b"nothing", headers={"Content-Type": _FORM}), 400),
        (program.post("/api/v1/analyze", json={"url": "file:///etc/passwd"}), 415),
        (program.post("/api/v1/analyze?wait=9999", files=[("files", ct)]), 422),
        (program.get("/api/v1/analyses/1.2.404"), 404),
        (program.get("/api/v1/analyses/1.2.003"), 400),
        (program.get("/api/v1/analyses/1.2.404/pictures/1"), 404),
        (program.get("/api/v1/analyses/1.2.404/pictures/x"), 422),
    ]

    assert [(answer.status_code, answer.text) for answer, status in sent if answer.status_code != status] == []
    assert all(answer.json()["detail"] for answer, _ in sent)
    assert rows(api_door, database_url, "SELECT count(*) FROM instance") == [(0,)]
    assert send(program, ct, picture()).status_code == 422
    assert send(program, ct, other_study).status_code == 409
    assert rows(api_door, database_url, "SELECT count(*) FROM study") == [(1,)]


def test_pictures_become_one_series_of_a_patient_without_a_name(program: httpx.Client) -> None:
    """Several pictures of one request are numbered images of one series, with the modality that was told."""
    answer = send(program, picture(), picture("JPEG"), picture(), modality="mr", body_part="head")

    study = answer.json()["study_instance_uid"]
    found = [Dataset.from_json(each) for each in program.get(f"/dicom-web/studies/{study}/instances").json()]
    [series] = [Dataset.from_json(each) for each in program.get(f"/dicom-web/studies/{study}/series").json()]
    [whole] = [Dataset.from_json(each) for each in program.get("/dicom-web/studies").json()]
    assert study.startswith("2.25.")
    assert [each.InstanceNumber for each in found] == [1, 2, 3]
    assert (series.Modality, series.BodyPartExamined) == ("MR", "HEAD")
    assert (str(whole.PatientName), whole.PatientID) == ("", f"UPLOAD-{study[-12:]}")


@pytest.mark.parametrize(("told", "kept"), [("54", "054Y"), ("006m", "006M"), ("", None)])
def test_the_age_of_a_pictures_patient_is_kept(program: httpx.Client, told: str, kept: str | None) -> None:
    """An algorithm with limits of age could analyse no picture otherwise, because a picture has no birth date."""
    answer = send(program, picture(), modality="MR", patient_age=told)

    study = answer.json()["study_instance_uid"]
    [found] = [Dataset.from_json(each) for each in program.get(f"/dicom-web/studies/{study}/metadata").json()]
    assert found.get("PatientAge") == kept


def test_an_age_that_is_none_is_refused(api_door: WebDoor, program: httpx.Client, database_url: str) -> None:
    """The sentence shows how one is written, and nothing is stored."""
    for told in ("old", "1234", "54 years", "-1", "5.5"):
        answer = send(program, picture(), modality="MR", patient_age=told)
        assert answer.status_code == 422
        assert "patient_age is no age such as 54" in answer.json()["detail"]
    assert rows(api_door, database_url, "SELECT count(*) FROM study") == [(0,)]


def test_who_may_not_analyse_is_refused(api_door: WebDoor) -> None:
    """A viewer may look at studies in the dashboard, but sends nothing."""
    viewer = api_door.browser()
    viewer.auth = ("viewer", PASSWORD)

    assert send(viewer, picture(), modality="MR").status_code == 403
    assert viewer.get("/api/v1/analyses/1.2.3").status_code == 403


def test_what_is_sent_is_kept_while_the_database_is_away(
    api_door: WebDoor, program: httpx.Client, database_url: str
) -> None:
    """For an account that is known, STOW-RS and the API store all the same; looking has to wait."""
    assert program.get("/dicom-web/studies").status_code == 200
    study = dcmread(io.BytesIO(file_bytes("MR_small.dcm"))).StudyInstanceUID

    with without_database(database_url):
        stored = program.post(
            "/dicom-web/studies", content=multipart(file_bytes("CT_small.dcm")), headers={"Content-Type": CONTENT_TYPE}
        )
        sent = send(program, file_bytes("MR_small.dcm"))
        assert program.get("/dicom-web/studies").status_code == 503
        assert program.get(f"/api/v1/analyses/{study}").status_code == 503

    assert stored.status_code == 200, stored.text
    assert (sent.status_code, sent.json()["state"]) == (202, "receiving"), sent.text
    api_door.door.importer.import_pending()
    for _ in range(200):  # the importer's own thread may be at it
        if len(program.get("/dicom-web/studies").json()) == 2:
            return
    raise AssertionError("what was stored never got its rows")
