"""Accepting and rejecting, by a click and by a program."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from tests.integration.postgres.conftest import Hospital
from tests.integration.postgres.test_feedback import finding, found
from tests.peers.web_door import PASSWORD, WebDoor, form_of

API = "/api/v1/studies/1.2.3/feedback"


@pytest.fixture
def hospital(database_url: str, tmp_path: Path) -> Iterator[Hospital]:
    """One study with a result of two findings."""
    database = open_database(database_url, "test")
    made = Hospital(database_url, database, ObjectStore(DataFolder(tmp_path)))
    made.install()
    found(made, "1.2.3", finding("2.25.1"), finding("2.25.2", "Sple<en"))
    yield made
    made.queue.close()
    database.close()


def _rows(hospital: Hospital) -> list[tuple[str, ...]]:
    return hospital.rows("SELECT tracking_uid, verdict, source, actor FROM feedback ORDER BY id")


def test_a_reader_judges_by_a_click_and_sees_it(web_door: WebDoor, hospital: Hospital) -> None:
    """The form beside the finding needs no script; the page shows the verdict with who gave it."""
    viewer = web_door.logged_in("viewer")
    page = viewer.get("/studies/1.2.3").text
    forms = [
        (address, dict(re.findall(r'name="(\w+)" value="([^"]*)"', fields)))
        for address, fields in re.findall(r'<form method="post" action="([^"]*/feedback)">(.*?)</form>', page)
    ]
    assert [(fields["tracking_uid"], fields["verdict"]) for _, fields in forms] == [
        *(("2.25.1", "accept"), ("2.25.1", "reject"), ("2.25.2", "accept"), ("2.25.2", "reject"))
    ]
    assert "Sple&lt;en" in page

    for address, fields in (forms[3], forms[0]):
        answer = viewer.post(address, data=fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/studies/1.2.3#feedback-1")

    assert _rows(hospital) == [
        ("2.25.2", "reject", "dashboard", "viewer"),
        ("2.25.1", "accept", "dashboard", "viewer"),
    ]
    shown = " ".join(re.sub(r"<[^>]+>", " ", viewer.get("/studies/1.2.3").text).split())
    assert "Liver outlined accepted in the dashboard by viewer, 20" in shown
    assert "rejected in the dashboard by viewer, 20" in shown
    ((action, actor, study, details),) = hospital.rows(
        "SELECT action, actor, study_instance_uid, details - 'address' FROM audit_event "
        "WHERE action = 'feedback-given' ORDER BY id LIMIT 1"
    )
    assert (action, actor, study) == ("feedback-given", "viewer", "1.2.3")
    assert details == {"result_id": 1, "tracking_uid": "2.25.2", "verdict": "reject", "source": "dashboard"}


def test_a_form_of_another_session_judges_nothing(web_door: WebDoor, hospital: Hospital) -> None:
    """Without the session's own token, with a verdict of no reader, or for what is not there, nothing is written."""
    viewer, address = web_door.logged_in("viewer"), "/studies/1.2.3/results/1/feedback"
    fields = {"tracking_uid": "2.25.1", "verdict": "accept"}
    token = form_of(viewer, "/")

    assert viewer.post(address, data=fields | {"form_token": "other"}).status_code == 403
    assert viewer.post(address, data=fields | token | {"verdict": "changed"}).status_code == 422
    assert viewer.post(address, data=fields | token | {"tracking_uid": "2.25.9"}).status_code == 404
    assert viewer.post(address.replace("/1/", "/7/"), data=fields | token).status_code == 404
    assert viewer.post("/studies/1.2.9/results/1/feedback", data=fields | token).status_code == 404
    assert _rows(hospital) == []


def test_who_looks_after_the_service_sees_verdicts_and_gives_none(web_door: WebDoor, hospital: Hospital) -> None:
    """An operator finds no button, and a form made by hand is refused."""
    operator = web_door.logged_in("operator")
    page = operator.get("/studies/1.2.3").text

    assert "nothing yet" in page
    assert "/feedback" not in page
    fields = form_of(operator, "/") | {"tracking_uid": "2.25.1", "verdict": "accept"}
    assert operator.post("/studies/1.2.3/results/1/feedback", data=fields).status_code == 403
    assert _rows(hospital) == []


def test_a_program_reads_what_can_be_judged_and_judges_it(web_door: WebDoor, hospital: Hospital) -> None:
    """What it is told is enough to say a verdict; said twice it is one, and all that were given are told."""
    viewer = web_door.browser()
    viewer.auth = ("viewer", PASSWORD)
    (result,) = viewer.get(API).json()["results"]
    asked = {"result_id": result["result_id"], "tracking_uid": result["findings"][1]["tracking_uid"]}
    assert result["findings"][1] == {"tracking_uid": "2.25.2", "name": "Sple<en", "said": "outlined", "verdicts": []}

    for verdict in ("reject", "reject", "accept"):
        assert viewer.post(API, json=asked | {"verdict": verdict}).status_code == 204

    (result,) = viewer.get(API).json()["results"]
    told = [(one["verdict"], one["source"], one["actor"]) for one in result["findings"][1]["verdicts"]]
    assert told == [("reject", "api", "viewer"), ("accept", "api", "viewer")]
    assert result["findings"][0]["verdicts"] == []
    ((looks,),) = hospital.rows("SELECT count(*) FROM audit_event WHERE action = 'study-viewed'")
    assert looks == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"result_id": 1, "tracking_uid": "2.25.1", "verdict": "changed"}, 422),
        ({"result_id": 1, "verdict": "accept", "comment": "Doe^Jane"}, 422),
        ({"result_id": 1, "verdict": "accept"}, 404),
        ({"result_id": 2**63, "verdict": "accept"}, 422),
        ({"result_id": 1, "tracking_uid": "2.25.1", "verdict": "accept", "x": "y" * 20_000}, 413),
    ],
)
def test_what_is_no_verdict_is_told_to_the_program(
    web_door: WebDoor, hospital: Hospital, body: dict[str, object], status: int
) -> None:
    """Each is refused with its status, nothing is written, and what was sent is not repeated."""
    answer = web_door.browser().post(API, json=body, auth=("viewer", PASSWORD))

    assert answer.status_code == status
    assert "Doe" not in answer.text
    assert _rows(hospital) == []
