"""Real clients search over HTTP for what was stored and for what we made of it."""

from pathlib import Path

import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.job import JobKind
from storage.domain.result import EvidenceRole, NewResult
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_settlement import settle_next_study
from storage.settings import JobSettings
from tests.integration.dicomweb.conftest import WebDoor, file_bytes
from tests.peers.evidence_files import evidence_object

ROLES = (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT)
FILES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "rtdose.dcm")


def header(name: str) -> Dataset:
    """Its attributes."""
    return dcmread(get_testdata_file(name, download=False), stop_before_pixels=True)


def client(door: WebDoor, role: str = "viewer") -> DICOMwebClient:
    """An independent implementation of the other side."""
    return DICOMwebClient(door.url, session=create_session_from_user_pass(role, "secret"))


@pytest.fixture
def door(open_web_door) -> WebDoor:
    """A web door that holds a few studies of different senders."""
    door = open_web_door()
    assert door.stow(*map(file_bytes, FILES)).status_code == 200
    return door


def uids(answer: list[dict], key: str = "0020000D") -> set[str]:
    """The values of one attribute of each thing found."""
    return {item[key]["Value"][0] for item in answer}


def test_dicomweb_client_finds_studies(door):
    """Every study has the attributes that PS3.18 asks for, read from its rows and from the file of an instance."""
    ct = header("CT_small.dcm")

    everything = client(door).search_for_studies()
    [study] = client(door).search_for_studies(search_filters={"PatientID": ct.PatientID})

    assert uids(everything) == {str(header(name).StudyInstanceUID) for name in FILES}
    found = Dataset.from_json(study)
    assert (found.StudyInstanceUID, found.PatientName) == (ct.StudyInstanceUID, ct.PatientName)
    assert (found.StudyDate, found.StudyTime, found.PatientSex) == (ct.StudyDate, ct.StudyTime, ct.PatientSex)
    assert (found.NumberOfStudyRelatedSeries, found.NumberOfStudyRelatedInstances) == (1, 1)
    assert found.ModalitiesInStudy == "CT"
    assert found.RetrieveURL.endswith(f"/dicom-web/studies/{ct.StudyInstanceUID}")
    assert study["00080050"] == {"vr": "SH"}  # an empty value has no Value


_SEARCHES = [
    ({"StudyInstanceUID": "CT_small.dcm"}, {"CT_small.dcm"}),
    ({"PatientID": "1CT*"}, {"CT_small.dcm"}),
    ({"PatientID": "?CT1"}, {"CT_small.dcm"}),
    ({"PatientID": "%CT%"}, set()),
    ({"PatientID": "1ct1"}, set()),
    ({"PatientID": "*"}, set(FILES)),
    ({"00100020": "1CT1"}, {"CT_small.dcm"}),
    ({"StudyDate": "20040119"}, {"CT_small.dcm"}),
    ({"StudyDate": "20040101-20040630"}, {"CT_small.dcm"}),
    ({"StudyDate": "-20040101"}, {"rtplan.dcm", "rtdose.dcm"}),
    ({"ModalitiesInStudy": "CT"}, {"CT_small.dcm"}),
    ({"ModalitiesInStudy": "RT*"}, {"rtplan.dcm", "rtdose.dcm"}),
    ({"PatientID": "'; DROP TABLE study; --"}, set()),
]


def test_a_search_for_studies_matches_as_the_standard_says(door):
    """UIDs, wild cards, ranges of dates and modalities choose exactly these studies; SQL in a value is a value."""
    with door.client("viewer") as http:
        for filters, names in _SEARCHES:
            asked = {
                key: str(header(value).StudyInstanceUID) if value in FILES else value for key, value in filters.items()
            }
            answer = http.get("/dicom-web/studies", params=asked)
            assert answer.status_code == 200, filters
            assert uids(answer.json()) == {str(header(name).StudyInstanceUID) for name in names}, filters


def test_series_and_instances_are_found_at_every_address(door):
    """All six addresses answer, and each narrower one tells a part of the wider."""
    mr = header("MR_small.dcm")
    seeker = client(door)

    assert uids(seeker.search_for_series(), "0020000E") == {str(header(name).SeriesInstanceUID) for name in FILES}
    assert len(seeker.search_for_instances()) == len({str(header(name).SOPInstanceUID) for name in FILES})
    [series] = seeker.search_for_series(mr.StudyInstanceUID)
    assert Dataset.from_json(series).Modality == "MR"
    of_study = seeker.search_for_instances(mr.StudyInstanceUID)
    of_series = seeker.search_for_instances(mr.StudyInstanceUID, mr.SeriesInstanceUID)
    assert of_study == of_series
    found = Dataset.from_json(of_series[0])
    assert (found.SOPInstanceUID, found.Rows, found.BitsAllocated) == (mr.SOPInstanceUID, mr.Rows, mr.BitsAllocated)
    assert seeker.search_for_series("1.2.3.404") == []
    assert len(seeker.search_for_instances(search_filters={"SOPClassUID": mr.SOPClassUID})) == 1
    assert len(seeker.search_for_series(search_filters={"Modality": "CT"})) == 1
    assert len(seeker.search_for_series(search_filters={"SeriesNumber": str(mr.SeriesNumber), "Modality": "MR"})) >= 1
    assert len(seeker.search_for_instances(search_filters={"InstanceNumber": "1", "Modality": "CT"})) == 1


def test_pages_cover_everything_once(door):
    """limit and offset cut the answer into pages that do not overlap; the client is told how much is left."""
    with door.client("viewer") as http:
        pages = [http.get("/dicom-web/studies", params={"limit": 2, "offset": at}) for at in (0, 2, 4, 6)]
        total = int(pages[0].headers["X-Total-Count"])

    seen = [uid for page in pages for uid in uids(page.json())]
    assert len(seen) == len(set(seen)) == total
    assert pages[0].headers["Warning"] == (
        f'299 overread "There are {total - 2} additional results that can be requested"'
    )
    assert "Warning" not in pages[-2].headers


def test_further_attributes_are_included_on_request(door):
    """includefield adds attributes from the file by keyword and tag."""
    [study] = client(door).search_for_studies(
        fields=["Manufacturer", "00081090"], search_filters={"ModalitiesInStudy": "CT"}
    )

    assert study["00080070"]["Value"] == [header("CT_small.dcm").Manufacturer]
    assert study["00081090"]["Value"] == [header("CT_small.dcm").ManufacturerModelName]


_NOT_UNDERSTOOD = [
    "PatientName=Doe*",
    "NoSuchKey=1",
    "Modality=CT",
    "StudyDate=yesterday",
    "StudyDate=20041399",
    "StudyInstanceUID=1.2.003",
    "StudyInstanceUID=..%2F..",
    "limit=-1",
    "limit=many",
    "includefield=PixelData",
    "includefield=Nothing",
    f"PatientID={'x' * 2000}",
]


def test_a_key_that_is_not_understood_is_refused(door):
    """An ignored key would show other patients than were asked for, so each is told with 400."""
    with door.client("viewer") as http:
        for query in _NOT_UNDERSTOOD:
            answer = http.get(f"/dicom-web/studies?{query}")
            assert answer.status_code == 400, query
            assert "Doe" not in answer.text


def test_fuzzy_matching_is_told_as_not_supported(door):
    """The search is done literally, with the warning that PS3.18 section 8.3.4.2 gives for it."""
    with door.client("viewer") as http:
        answer = http.get("/dicom-web/studies?fuzzymatching=true&PatientID=1CT1")

    assert answer.status_code == 200
    assert "fuzzymatching parameter is not supported" in answer.headers["Warning"]


def test_a_search_leaves_a_row_without_the_values_asked_for(door):
    """Who searched by which keys and how much that found is in the audit trail; what was typed is not."""
    with door.client("viewer") as http:
        http.get("/dicom-web/studies?PatientID=1CT1&StudyDate=20040119")

    [(actor, details)] = door.rows("SELECT actor, details FROM audit_event WHERE action = 'studies-queried'")
    assert actor == "viewer"
    assert (details["keys"], details["found"], details["level"]) == ("PatientID, StudyDate", 1, "studies")
    assert "1CT1" not in str(details)


def test_results_are_found_and_retrieved_beside_what_was_received(open_web_door):
    """Our evidence is in its study; sent back to us it shows once, with the bytes that were frozen."""
    door = open_web_door()
    door.stow(file_bytes("CT_small.dcm"))
    ct = header("CT_small.dcm")
    evidence = [evidence_object(role, study_instance_uid=ct.StudyInstanceUID) for role in ROLES]
    _analyse(door, str(ct.SOPInstanceUID), *evidence)
    door.stow(evidence[0].part10)
    seeker = client(door)

    [study] = seeker.search_for_studies()
    found = Dataset.from_json(study)
    series = seeker.search_for_series(ct.StudyInstanceUID)
    held = seeker.retrieve_study(ct.StudyInstanceUID)

    assert list(found.ModalitiesInStudy) == ["CT", "SEG", "SR"]
    assert (found.NumberOfStudyRelatedSeries, found.NumberOfStudyRelatedInstances) == (3, 3)
    assert {Dataset.from_json(each).Modality for each in series} == {"CT", "SEG", "SR"}
    assert {Dataset.from_json(each).SeriesNumber for each in series} == {int(ct.SeriesNumber), 9001}
    assert {str(each.SOPInstanceUID) for each in held} == {str(ct.SOPInstanceUID)} | {
        str(thing.sop_instance_uid) for thing in evidence
    }
    with door.client("viewer") as http:
        thing = evidence[0]
        alone = http.get(
            f"/dicom-web/studies/{ct.StudyInstanceUID}/series/{thing.series_instance_uid}"
            f"/instances/{thing.sop_instance_uid}",
            headers={"Accept": "application/dicom"},
        )
    assert alone.content == thing.part10


def _analyse(door: WebDoor, sop_instance_uid: str, *evidence) -> None:
    """Complete an inference as a worker does."""
    store = ObjectStore(door.folder)
    PostgresAlgorithmCatalog(door.database).add(
        RegisteredAlgorithm("test", "1", AlgorithmStage.ACTIVE, Path("test-1"), "a" * 64, "b" * 64), "test"
    )
    with door.database.transaction() as session:
        from sqlalchemy import text

        session.execute(text("UPDATE study SET last_received_at = now() - interval '1 day'"))
    assert settle_next_study(door.database, 1) is not None
    queue = PostgresJobQueue(door.database, store, JobSettings())
    job = queue.claim(JobKind.INFERENCE, "test")
    assert job is not None
    queue.complete_analysed(job, NewResult("1.2.3", (sop_instance_uid,), "b" * 64, "CPU", (), "", evidence), [])
    queue.close()
