"""The worklist (UPS-RS) as other systems use it: every request over the web, with a real database behind."""

import base64
import itertools
import json
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from storage.domain.workitem import WorkitemState
from storage.domain.workitem_event import FILTERED_UID, WORKLIST_UID
from storage.housekeeping.perform_workitems import perform_workitems
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.workitem_settings import WorkitemSettings
from tests.integration.postgres.conftest import Hospital
from tests.peers.web_door import PASSWORD, WebDoor, opened
from tests.peers.workitems import LABEL, PATIENT_ID, STATE, TRANSACTION, code, nested, new_workitem, of_performer

_numbers = itertools.count(1)
LOCK = "2.25.77"


class Manager:
    """A task manager with an account."""

    def __init__(self, door: WebDoor, account: str = "operator") -> None:
        self.http = door.browser()
        self.http.auth = (account, PASSWORD)

    def create(self, **more: Any) -> str:
        """Create a workitem and return its UID."""
        uid = f"1.2.3.{next(_numbers)}"
        answer = self.http.post(f"/dicom-web/workitems?workitem={uid}", json=new_workitem(**more))
        assert answer.status_code == 201, answer.text
        return uid

    def state(self, uid: str, state: str, lock: str = LOCK) -> httpx.Response:
        """Ask for a state."""
        body = {STATE: {"vr": "CS", "Value": [state]}} | (
            {TRANSACTION: {"vr": "UI", "Value": [lock]}} if lock else {TRANSACTION: {"vr": "UI"}}
        )
        return self.http.put(f"/dicom-web/workitems/{uid}/state", json=body)

    def update(self, uid: str, body: dict[str, Any], lock: str = LOCK) -> httpx.Response:
        """Change attributes."""
        return self.http.post(f"/dicom-web/workitems/{uid}" + (f"?transaction-uid={lock}" if lock else ""), json=body)

    def get(self, uid: str) -> dict[str, Any]:
        """The workitem."""
        answer = self.http.get(f"/dicom-web/workitems/{uid}")
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def in_state(self, state: WorkitemState) -> str:
        """A workitem of others that is in this state."""
        uid = self.create()
        if state is not WorkitemState.SCHEDULED:
            assert self.state(uid, "IN PROGRESS").status_code == 200
        if state is WorkitemState.COMPLETED:
            assert self.update(uid, of_performer()).status_code == 200
        if state in (WorkitemState.COMPLETED, WorkitemState.CANCELED):
            assert self.state(uid, state).status_code == 200
        return uid


def basic(account: str) -> str:
    """Name and password as a header has them."""
    return "Basic " + base64.b64encode(f"{account}:{PASSWORD}".encode()).decode()


def _value(data_set: dict[str, Any], tag: str) -> Any:
    return data_set[tag].get("Value", [None])[0]


def test_a_workitem_is_created_claimed_updated_and_completed_by_another_performer(web_door: WebDoor) -> None:
    """The whole way of a performer; nobody is told the Transaction UID, and the patient's name is not kept."""
    manager = Manager(web_door)
    answer = manager.http.post("/dicom-web/workitems?1.2.3.99", json=new_workitem(name="Doe^Jane"))
    assert answer.status_code == 201
    assert answer.headers["location"].endswith("/dicom-web/workitems/1.2.3.99")
    assert answer.headers["warning"] == "299 overread: The Workitem was created with modifications."

    assert manager.state("1.2.3.99", "IN PROGRESS").status_code == 200
    assert manager.state("1.2.3.99", "COMPLETED").status_code == 409  # final state requirements
    assert manager.update("1.2.3.99", of_performer()).status_code == 200
    assert manager.state("1.2.3.99", "COMPLETED").status_code == 200

    held = manager.get("1.2.3.99")
    assert (_value(held, STATE), _value(held, PATIENT_ID)) == ("COMPLETED", "P1")
    assert TRANSACTION not in held
    assert LOCK not in str(manager.http.get("/dicom-web/workitems?includefield=all").json())
    assert "Doe" not in str(held)


def test_a_second_performer_does_not_get_what_the_first_has_claimed(web_door: WebDoor) -> None:
    """The lock is the Transaction UID alone: who does not know it changes nothing, and is told which one lacks."""
    manager = Manager(web_door)
    uid = manager.in_state(WorkitemState.IN_PROGRESS)

    late = manager.state(uid, "IN PROGRESS", "2.25.78")
    without = manager.update(uid, of_performer(), "")

    assert (late.status_code, late.headers["warning"]) == (400, "299 overread: The Transaction UID is incorrect.")
    assert (without.status_code, without.headers["warning"]) == (400, "299 overread: The Transaction UID is missing.")


def test_what_nobody_has_begun_is_canceled_with_the_reason_that_was_told(web_door: WebDoor) -> None:
    """A cancel request of a SCHEDULED workitem ends it CANCELED, with the time and a reason (final state)."""
    manager = Manager(web_door)
    uid = manager.create()

    answer = manager.http.post(
        f"/dicom-web/workitems/{uid}/cancelrequest", json={"00741238": {"vr": "LT", "Value": ["Wrong patient."]}}
    )

    assert answer.status_code == 202
    (progress,) = manager.get(uid)["00741002"]["Value"]
    assert progress["00741238"]["Value"] == ["Wrong patient."]
    assert progress["0074100E"]["Value"][0]["00080100"]["Value"] == ["110513"]
    assert progress["00404052"]["vr"] == "DT"


def test_a_worklist_is_searched_by_its_keys(web_door: WebDoor) -> None:
    """By state, label, code, range of start times and accession number; the most urgent first; in pages."""
    manager = Manager(web_door, "operator")
    low = manager.create(priority="LOW", start="20260101080000")
    high = manager.create(priority="HIGH", start="20260102080000", label="CT chest", accession="A7")
    claimed = manager.in_state(WorkitemState.IN_PROGRESS)

    def found(query: str) -> list[str]:
        answer = manager.http.get(f"/dicom-web/workitems{query}")
        assert answer.status_code == 200, answer.text
        return [each["00080018"]["Value"][0] for each in answer.json()]

    assert found("") == [high, claimed, low]
    assert found("?ProcedureStepState=SCHEDULED") == [high, low]
    assert found("?00741204=CT*") == [high]
    assert found("?ReferencedRequestSequence.AccessionNumber=A7") == [high]
    assert found("?ScheduledProcedureStepStartDateTime=20260102-20260102") == [high]
    assert found(f"?SOPInstanceUID={low},{claimed}") == [claimed, low]
    assert found("?ProcedureStepLabel=none") == []
    first = manager.http.get("/dicom-web/workitems?limit=1")
    assert (first.headers["x-total-count"], len(first.json())) == ("3", 1)
    assert manager.http.get("/dicom-web/workitems?PatientName=Doe").status_code == 400


UNSOUND: list[tuple[dict[str, Any], str]] = [
    ({LABEL: {"vr": "LO"}}, "lacks ProcedureStepLabel"),
    ({STATE: {"vr": "CS", "Value": ["IN PROGRESS"]}}, "is SCHEDULED"),
    ({TRANSACTION: {"vr": "UI", "Value": ["1.2"]}}, "no value of TransactionUID"),
    ({"00741200": {"vr": "CS", "Value": ["URGENT"]}}, "is none of HIGH"),
    ({PATIENT_ID: {"vr": "LO", "Value": ["a\u0000b"]}}, "no data set"),
    ({PATIENT_ID: {"vr": "UI", "Value": ["1.2"]}}, "no data set"),
    ({"0020000D": {"vr": "UI", "Value": ["1.02"]}}, "is no UI"),
    ({"00404021": nested(12)}, "no data set"),
    ({"00741216": {"vr": "SQ", "Value": [{}, *of_performer()["00741216"]["Value"]]}}, "no value of Unified"),
    ({"00741200": {"vr": "CS", "Value": ["LOW", "HIGH"]}}, "more than one value"),
    ({"00404018": {"vr": "SQ", "Value": [code("Doe^Jane", "99OVERREAD")]}}, "no name of an algorithm"),
    ({"00404018": {"vr": "SQ", "Value": [code(f"a{n}", "99OVERREAD") for n in range(21)]}}, "more than 20"),
]


def test_a_workitem_that_breaks_the_standard_is_not_created(web_door: WebDoor) -> None:
    """What lacks, or may not be there, is told with 400, too large a body with 413; a UID stands for one workitem."""
    manager = Manager(web_door)
    there = manager.create()

    for change, sentence in UNSOUND:
        answer = manager.http.post("/dicom-web/workitems?1.2.3.98", json=new_workitem() | change)
        assert (answer.status_code, sentence in answer.json()["detail"]) == (400, True), answer.text
    infinite = json.dumps(new_workitem() | {"00741210": {"vr": "SQ", "Value": [{"0040A30A": {"vr": "DS"}}]}}).replace(
        '{"vr": "DS"}', '{"vr": "DS", "Value": [1e999]}'
    )
    headers = {"Content-Type": "application/dicom+json"}
    assert manager.http.post("/dicom-web/workitems?1.9", content=infinite, headers=headers).status_code == 400
    for uid in (WORKLIST_UID, FILTERED_UID):  # it would stand for all workitems, so that nobody could subscribe to it
        assert manager.http.post(f"/dicom-web/workitems?workitem={uid}", json=new_workitem()).status_code == 400
    assert manager.http.post(f"/dicom-web/workitems?workitem={there}", json=new_workitem()).status_code == 409
    # Its length is told and nothing of it is sent: who reads no body resets the connection of one who sends it.
    with socket.create_connection(("127.0.0.1", web_door.port), timeout=60) as peer:
        peer.sendall(
            f"POST /dicom-web/workitems?1.9 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2**20}\r\n"
            f"Authorization: {basic('operator')}\r\nContent-Type: application/dicom+json\r\n\r\n".encode()
        )
        assert peer.recv(65536).startswith(b"HTTP/1.1 413")
    assert manager.http.post("/dicom-web/workitems?1.9", content=b"{}").status_code == 415
    assert manager.http.get("/dicom-web/workitems").json()[1:] == []


def test_there_is_no_worklist_until_it_is_configured(database_url: str, tmp_path: Path) -> None:
    """Without [ups] enabled its addresses do not exist, and nothing is said of them."""
    with opened(database_url, tmp_path, workitems=WorkitemSettings()) as door:
        assert Manager(door).http.get("/dicom-web/workitems").status_code == 404
        assert "workitems" not in Manager(door).http.get("/api/v1/openapi.json").text


def test_the_objects_of_a_completed_workitem_are_where_it_says(web_door: WebDoor, database_url: str) -> None:
    """A workitem of ours names what was made, and its series is retrieved from the address that it gives (WADO-RS)."""
    with closing(open_database(database_url, "test")) as database:
        objects = ObjectStore(DataFolder(web_door.data_dir))
        hospital = Hospital(database_url, database, objects)
        arrivals = hospital.stable_study()
        hospital.install()
        manager = Manager(web_door)
        uid = manager.create(study="1.2.3", algorithms=("lungs",))
        perform_workitems(database, WorkitemSettings(enabled=True))
        hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), ())
        perform_workitems(database, WorkitemSettings(enabled=True))
        hospital.queue.close()

        (performed,) = manager.get(uid)["00741216"]["Value"]

        (series,) = performed["00404033"]["Value"]
        address = series["0040E025"]["Value"][0]["00081190"]["Value"][0]
        assert address == f"http://127.0.0.1:{web_door.port}/dicom-web/studies/1.2.3/series/1.2.3.7"
        made = {each["00081155"]["Value"][0] for each in series["00081199"]["Value"]}
        found = manager.http.get("/dicom-web/studies/1.2.3/series/1.2.3.7/instances").json()
        assert {each["00080018"]["Value"][0] for each in found} == made


def test_what_a_workitem_needs_is_not_taken_away_by_an_update(web_door: WebDoor) -> None:
    """A required attribute is not emptied, neither by no value nor by an empty one; the workitem stays as it was."""
    manager = Manager(web_door)
    uid = manager.create()
    before = manager.get(uid)

    for tag, vr in {"00741200": "CS", "00404041": "CS", LABEL: "LO", "00404005": "DT"}.items():
        for values in ([], [""]):
            answer = manager.update(uid, {tag: {"vr": vr, "Value": values}}, "")
            assert (answer.status_code, "cannot be empty" in answer.text) == (400, True), answer.text

    assert manager.get(uid) == before


def test_text_with_spaces_of_other_scripts_is_taken(web_door: WebDoor) -> None:
    """An ideographic space, a no-break space and a joiner are text (PS3.5 section 6.1.2), here and as a search key."""
    manager = Manager(web_door)
    label = "\u80f8\u90e8\u3000CT\u00a01 \u0645\u06cc\u200c\u062e"

    uid = manager.create(label=label)

    assert _value(manager.get(uid), LABEL) == label
    found = manager.http.get("/dicom-web/workitems", params={"ProcedureStepLabel": label}).json()
    assert [_value(each, "00080018") for each in found] == [uid]


def test_of_a_patient_only_the_identifiers_are_kept_also_within_sequences(web_door: WebDoor) -> None:
    """Names, addresses and comments in an item are left out and the sender is warned; so in a request to cancel."""
    manager = Manager(web_door)
    uid = manager.create()
    about: dict[str, Any] = {
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00101060": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Mother"}]},
        "00101040": {"vr": "LO", "Value": ["Doe Street"]},
        "00104000": {"vr": "LT", "Value": ["Doe was here"]},
    }
    answer = manager.update(uid, {"0040A370": {"vr": "SQ", "Value": [about]}}, "")
    reason = {"0074100E": {"vr": "SQ", "Value": [code("110502", "DCM") | about]}}
    assert manager.http.post(f"/dicom-web/workitems/{uid}/cancelrequest", json=reason).status_code == 202

    assert answer.headers["warning"] == "299 overread: The Workitem was updated with modifications."
    held = manager.get(uid)
    assert held["0040A370"]["Value"] == [{"00100020": about["00100020"]}]
    assert held["00741002"]["Value"][0]["0074100E"]["Value"][0]["00100020"] == about["00100020"]
    assert "Doe" not in str(held)


def test_what_another_made_for_a_workitem_of_ours_is_where_he_says(web_door: WebDoor) -> None:
    """Another may perform what names an algorithm of ours; the addresses of his output are his own."""
    manager = Manager(web_door)
    uid = manager.create(study="1.2.3", algorithms=("lungs",))
    elsewhere = {"00081190": {"vr": "UR", "Value": ["https://elsewhere.example/1"]}}
    output = [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, "0040E025": {"vr": "SQ", "Value": [elsewhere]}}]
    done = of_performer()
    done["00741216"]["Value"][0]["00404033"] = {"vr": "SQ", "Value": output}
    assert manager.state(uid, "IN PROGRESS").status_code == 200
    assert manager.update(uid, done).status_code == 200
    assert manager.state(uid, "COMPLETED").status_code == 200

    assert manager.get(uid)["00741216"]["Value"][0]["00404033"]["Value"] == output


def test_an_empty_reason_of_a_performer_is_none(web_door: WebDoor) -> None:
    """A CANCELED workitem has a time and a reason also where its performer told empty ones (final state)."""
    manager = Manager(web_door)
    uid = manager.in_state(WorkitemState.IN_PROGRESS)
    empty = {"00404052": {"vr": "DT"}, "0074100E": {"vr": "SQ", "Value": [{}]}}
    assert manager.update(uid, {"00741002": {"vr": "SQ", "Value": [empty]}}).status_code == 200

    assert manager.state(uid, "CANCELED").status_code == 200

    (progress,) = manager.get(uid)["00741002"]["Value"]
    assert progress["00404052"]["Value"]
    assert progress["0074100E"]["Value"][0]["00080100"]["Value"] == ["110513"]
