"""The states of a workitem exist three times: in the domain, in the database and on their page; here they are equal."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pynetdicom.status import UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS

from inference.algorithms.manifest_parts import Identity
from storage.domain.workitem import (
    ANSWERS,
    PRIORITIES,
    STATUSES,
    STEPS,
    Lock,
    NewWorkitem,
    WorkitemRefused,
    WorkitemRequest,
    WorkitemState,
)
from storage.domain.workitem_attributes import (
    ALGORITHM_NAME,
    ATTRIBUTES,
    EQUIPMENT_FAILURE,
    EXPIRED,
    SEARCH_KEYS,
    SET_INCOMPLETE,
    TYPES_NOT_SUPPORTED,
    UNSPECIFIED,
)
from storage.domain.workitem_event import FILTERED_UID, WORKLIST_UID, EventType
from storage.ports.workitems import CancelWish
from storage.postgres.engine import open_database
from storage.postgres.workitem_rows import PostgresWorklist
from tests.peers.workitems import new_workitem, of_performer

_PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "ups.md").read_text(encoding="utf-8")
_LOCK = "2.25.7"


def test_the_page_has_the_answers_of_the_domain() -> None:
    """Each row of the page is a request with a lock, and each of its cells the answer of the domain."""
    rows = re.findall(r"^\| ([a-z-]+) \| ([a-z, ]+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", _PAGE, re.MULTILINE)
    documented = {
        (request, lock, str(state)): cell.strip("`")
        for request, locks, *cells in rows
        if request != "request"
        for lock in locks.split(", ")
        for state, cell in zip(WorkitemState, cells, strict=True)
    }

    assert documented == {
        tuple(map(str, key)): str(answer) if isinstance(answer, WorkitemState) else f"{answer:04X}"
        for key, answer in ANSWERS.items()
    }


def test_the_page_has_the_statuses_of_the_domain() -> None:
    """Each status stands on the page with its HTTP status and the text of its Warning, and is one of the Standard's."""
    rows = re.findall(r"^\| `([0-9A-F]{4})` \| (\d{3}) \| (.*) \|$", _PAGE, re.MULTILINE)

    assert {int(code, 16): (int(http), text.strip()) for code, http, text in rows} == {
        code: (status.http, status.warning) for code, status in STATUSES.items()
    }
    assert set(STATUSES) <= set(UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS)


def test_the_page_has_the_priorities_the_keys_and_the_attributes() -> None:
    """What a priority means to a job, what is searched by, and what is kept: the page and the code say the same."""
    priorities = dict(re.findall(r"^\| `(HIGH|MEDIUM|LOW)` \| ([a-z]+) \|$", _PAGE, re.MULTILINE))
    attributes = re.findall(r"^\| `(\w+)` \| (\w+) \| (yes|no) \| (yes|no) \|$", _PAGE, re.MULTILINE)

    assert priorities == {str(word): str(priority) for word, priority in PRIORITIES.items()}
    assert set(re.findall(r"^- `([\w.]+)`$", _PAGE, re.MULTILINE)) == set(SEARCH_KEYS)
    assert attributes == [
        (each.keyword, str(each.creation), "yes" if each.updated else "no", "yes" if each.found else "no")
        for each in ATTRIBUTES.values()
    ]


def test_the_page_has_the_events_and_their_numbers() -> None:
    """Event Type IDs of the page are those of the code; the UIDs that stand for the worklist are the Standard's."""
    assert {int(number): name for number, name in re.findall(r"^\| (\d) \| `(\w+)` \| ", _PAGE, re.MULTILINE)} == {
        int(each): each.name for each in EventType
    }
    assert {WORKLIST_UID, FILTERED_UID} == set(re.findall(r"^\| `(1\.2\.840[\d.]+)` \|", _PAGE, re.MULTILINE))
    assert UID(WORKLIST_UID).name == "UPS Global Subscription SOP Instance"
    assert UID(FILTERED_UID).name == "UPS Filtered Global Subscription SOP Instance"


def test_tags_and_codes_are_those_of_the_standard() -> None:
    """The literal tags, value representations and reason codes (CID 9300) are what pydicom's dictionaries say."""
    for each in ATTRIBUTES.values():
        tag = tag_for_keyword(each.keyword)
        assert tag is not None
        assert (f"{tag:08X}", dictionary_VR(tag)) == (each.tag, each.vr)
    for name, path in SEARCH_KEYS.items():
        assert [f"{tag_for_keyword(part):08X}" for part in name.split(".")] == list(path)
    for item in (UNSPECIFIED, TYPES_NOT_SUPPORTED, SET_INCOMPLETE, EQUIPMENT_FAILURE, EXPIRED):
        value, meaning = item["00080100"]["Value"][0], item["00080104"]["Value"][0]
        assert any((code.value, code.meaning) == (value, meaning) for code in _reasons()), value


def test_what_names_an_algorithm_is_what_manifests_allow() -> None:
    """A workitem can name every algorithm that can be installed, and nothing else."""
    (pattern,) = [each.pattern for each in Identity.model_fields["name"].metadata if hasattr(each, "pattern")]

    assert pattern == f"^{ALGORITHM_NAME.pattern}$"


def _reasons() -> list[Any]:
    cid = codes.cid9300
    return [getattr(cid, name) for name in dir(cid)]


@pytest.fixture
def worklist(database_url: str) -> Iterator[PostgresWorklist]:
    """A worklist over a fresh database."""
    database = open_database(database_url, "test")
    yield PostgresWorklist(database, 1000)
    database.close()


def _in_state(worklist: PostgresWorklist, state: WorkitemState, uid: str) -> None:
    worklist.create(NewWorkitem(uid, new_workitem()), "tester")
    if state is not WorkitemState.SCHEDULED:
        worklist.change_state(uid, WorkitemRequest.CLAIM, _LOCK, "tester")
    if state is WorkitemState.COMPLETED:
        worklist.update(uid, of_performer(), _LOCK, "tester")
        worklist.change_state(uid, WorkitemRequest.COMPLETE, _LOCK, "tester")
    if state is WorkitemState.CANCELED:
        worklist.change_state(uid, WorkitemRequest.CANCEL, _LOCK, "tester")


def test_every_request_is_answered_as_the_table_says(worklist: PostgresWorklist) -> None:
    """Each request with each lock is made to a workitem of each state: the status, and the state that follows."""
    numbers = itertools.count(1)
    for (request, lock, state), expected in ANSWERS.items():
        if state is WorkitemState.SCHEDULED and lock is Lock.WRONG:
            continue  # nobody has locked it, so that any lock is right
        uid = f"1.2.{next(numbers)}"
        _in_state(worklist, state, uid)
        told = {Lock.NONE: "", Lock.RIGHT: _LOCK, Lock.WRONG: "2.25.8"}[lock]
        if request is WorkitemRequest.COMPLETE and (state, lock) == (WorkitemState.IN_PROGRESS, Lock.RIGHT):
            worklist.update(uid, of_performer(), _LOCK, "tester")
        try:
            if request is WorkitemRequest.UPDATE:
                status = worklist.update(uid, {"00741204": {"vr": "LO", "Value": ["other"]}}, told, "tester")
            elif request is WorkitemRequest.REQUEST_CANCEL:
                status = worklist.request_cancel(uid, CancelWish({}), "tester")
            else:
                status = worklist.change_state(uid, request, told, "tester")
        except WorkitemRefused as refused:
            status = refused.status

        after = worklist.get(uid).state
        seen = (request, lock, state, hex(status.code), after)
        if expected is WorkitemState.IN_PROGRESS and request is WorkitemRequest.REQUEST_CANCEL:
            assert (status.code, after) == (0xC312, state), seen  # nobody listens
        elif isinstance(expected, WorkitemState):
            assert (status.code, after) == (0, expected), seen
        else:
            assert (status.code, after) == (expected, state), seen


def test_the_database_takes_the_steps_of_the_domain_and_no_other(database_url: str) -> None:
    """Every pair of states is tried; a change outside the table is refused by the trigger, also as the first state."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        make = (
            "INSERT INTO workitem (sop_instance_uid, priority, attributes, created_by, state) "
            "VALUES (%s, 'LOW', '{}', 'me', %s)"
        )
        move = (
            "UPDATE workitem SET state = %(to)s, transaction_uid = CASE WHEN %(to)s <> 'SCHEDULED' THEN '1' END, "
            "claimed_at = CASE WHEN %(to)s <> 'SCHEDULED' THEN now() END, "
            "ended_at = CASE WHEN %(to)s IN ('COMPLETED', 'CANCELED') THEN now() END WHERE sop_instance_uid = %(uid)s"
        )
        for number, (before, after) in enumerate(itertools.product(WorkitemState, WorkitemState)):
            cursor.execute(make, (str(number), "SCHEDULED"))
            cursor.execute("ALTER TABLE workitem DISABLE TRIGGER workitem_follows_steps")
            cursor.execute(move, {"to": str(before), "uid": str(number)})
            cursor.execute("ALTER TABLE workitem ENABLE TRIGGER workitem_follows_steps")
            allowed = before is after or (before, after) in STEPS
            refused = pytest.raises(psycopg2.errors.CheckViolation, match="may not go from")
            with contextlib.nullcontext() if allowed else refused:
                cursor.execute(move, {"to": str(after), "uid": str(number)})
        with pytest.raises(psycopg2.errors.CheckViolation, match="new workitem is SCHEDULED"):
            cursor.execute(make, ("another", "CANCELED"))
