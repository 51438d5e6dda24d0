"""Workitems of ours: their jobs, their states, their ends, over a real database and without a worker."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from storage.domain.explanation import sentences
from storage.domain.job import JobKind, JobState, Reason, Refusal
from storage.domain.search import Page
from storage.domain.workitem import NewWorkitem, WorkitemRefused, WorkitemRequest, WorkitemState
from storage.domain.workitem_attributes import shown
from storage.domain.workitem_event import WORKLIST_UID
from storage.errors import StorageError, WorklistFull
from storage.housekeeping.perform_workitems import forget_workitems, perform_workitems
from storage.ports.workitems import CancelWish
from storage.postgres.workitem_events import forget_events
from storage.postgres.workitem_rows import PostgresWorklist
from storage.postgres.workitem_subscriptions import PostgresSubscriptions
from storage.workitem_settings import WorkitemSettings
from tests.integration.postgres.conftest import Hospital
from tests.peers.workitems import LABEL, new_workitem

_SETTINGS = WorkitemSettings(enabled=True)
UID = "1.2.9"


def _ask(hospital: Hospital, uid: str = UID, **more: Any) -> PostgresWorklist:
    worklist = PostgresWorklist(hospital.database, 100)
    wanted = new_workitem(**{"study": "1.2.3", "algorithms": ("lungs",), **more})
    worklist.create(NewWorkitem(uid, wanted), "manager")
    return worklist


def _look(hospital: Hospital, **settings: Any) -> int:
    return perform_workitems(hospital.database, WorkitemSettings(**{"enabled": True, **settings}))


def _told(worklist: PostgresWorklist, uid: str = UID) -> tuple[str, str, Any]:
    """State, progress or reason code, and the text beside it."""
    held = worklist.get(uid)
    (progress,) = held.attributes.get("00741002", {}).get("Value", [{}])
    code = progress.get("0074100E", {}).get("Value", [{}])[0].get("00080100", progress.get("00741004", {}))
    text = progress.get("00741238", progress.get("00741006", {}))
    return str(held.state), str(code.get("Value", [""])[0]), text.get("Value", [""])[0]


def test_a_workitem_of_ours_becomes_a_job_and_ends_with_its_objects(hospital: Hospital) -> None:
    """HIGH is claimed before other work; progress is told; COMPLETED names each object that was made."""
    arrivals = hospital.stable_study()
    hospital.install()
    worklist = _ask(hospital, priority="HIGH")

    assert _look(hospital) == 1
    assert _told(worklist) == ("IN PROGRESS", "0", "0 of 1 done")
    rows = hospital.rows("SELECT kind, priority, priority_because FROM job")
    assert rows == [("inference", "stat", "A workitem asks for it.")]
    job = hospital.claimed()
    assert _look(hospital) == 0
    assert _told(worklist) == ("IN PROGRESS", "50", "0 of 1 done; lungs at work")
    hospital.queue.complete_analysed(job, hospital.result(arrivals), ())
    assert _look(hospital) == 1

    held = worklist.get(UID)
    (performed,) = held.attributes["00741216"]["Value"]
    (series,) = performed["00404033"]["Value"]
    made = {each["00081155"]["Value"][0] for each in series["00081199"]["Value"]}
    assert (held.state, made) == (WorkitemState.COMPLETED, {"1.2.3.7.1", "1.2.3.7.2"})
    assert (series["0020000D"]["Value"], series["0020000E"]["Value"]) == (["1.2.3"], ["1.2.3.7"])
    assert performed["00404019"]["Value"][0]["00080100"]["Value"] == ["lungs"]
    assert hospital.audited("workitem-completed") == 1
    told = " ".join(sentences(hospital.overview.explain("1.2.3")))
    assert "Account manager asked for an analysis by lungs at" in told
    assert "with priority HIGH; workitem 1.2.9 is COMPLETED." in told
    assert "lungs 1 has the priority stat here: A workitem asks for it." in told
    assert "00081195" not in shown(UID, held.state, held.changed_at, held.attributes)


def test_a_workitem_waits_for_its_study_and_takes_the_job_that_is_there(hospital: Hospital) -> None:
    """It stays SCHEDULED until the study is complete; the job that the study made by itself is taken and hastened."""
    hospital.install()
    worklist = _ask(hospital, priority="HIGH")
    assert _look(hospital) == 0
    hospital.receive(hospital.arrival())
    assert (_look(hospital), _told(worklist)[0]) == (0, "SCHEDULED")

    hospital.settle()
    assert _look(hospital) == 1

    assert hospital.rows("SELECT priority FROM job") == [("stat",)]
    with pytest.raises(WorkitemRefused):  # our lock is nobody else's
        worklist.change_state(UID, WorkitemRequest.CANCEL, "2.25.1", "somebody")


def test_a_workitem_waits_until_its_input_is_ready_and_whole(hospital: Hospital) -> None:
    """Neither INCOMPLETE input nor a named instance that is not held is begun with."""
    hospital.install()
    (arrival,) = hospital.stable_study(instances=1)
    worklist = PostgresWorklist(hospital.database, 100)
    wanted = new_workitem(study="1.2.3", algorithms=("lungs",))
    wanted["00404041"]["Value"] = ["INCOMPLETE"]
    named = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in (arrival.header.sop_instance_uid, "1.2.3.1.99999")]
    wanted["00404021"]["Value"][0]["00081199"] = {"vr": "SQ", "Value": named}
    worklist.create(NewWorkitem(UID, wanted), "manager")
    assert _look(hospital) == 0
    worklist.update(UID, {"00404041": {"vr": "CS", "Value": ["READY"]}}, "", "manager")
    assert _look(hospital) == 0

    hospital.receive(hospital.arrival(sop_instance_uid="1.2.3.1.99999"))
    hospital.settle()

    assert _look(hospital) == 1


def _not_analysed(hospital: Hospital, code: str) -> None:
    refusals = [Refusal("1.2.3.1", Reason(code, "Not one of these."))]
    hospital.queue.complete_not_analysed(hospital.claimed(), Reason("no-series-accepted", "None of it."), refusals)


ENDS: dict[str, tuple[Callable[[Hospital], None], str, str]] = {
    "another kind": (lambda hospital: _not_analysed(hospital, "modality-not-accepted"), "110522", "lungs: None of it."),
    "a gap": (lambda hospital: _not_analysed(hospital, "gap"), "110523", "lungs: None of it."),
    "failed": (
        lambda hospital: hospital.queue.fail(hospital.claimed(), Reason("broken", "It broke.")),
        "110501",
        "lungs: It broke.",
    ),
    "canceled": (
        lambda hospital: hospital.queue.cancel(hospital.rows("SELECT id FROM job")[0][0], "operator"),
        "110513",
        "lungs: An operator canceled the job; resubmit it to have the work done after all.",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_job_without_a_result_cancels_its_workitem(hospital: Hospital, end: str) -> None:
    """Not analysed, failed or canceled is CANCELED, with a code of CID 9300 and the sentence of the job."""
    happens, code, sentence = ENDS[end]
    hospital.install()
    hospital.stable_study()
    worklist = _ask(hospital)
    _look(hospital)

    happens(hospital)

    assert (_look(hospital), _told(worklist)) == (1, ("CANCELED", code, sentence))
    assert _look(hospital) == 0


def test_what_failed_before_is_done_again_for_a_workitem(hospital: Hospital) -> None:
    """A workitem on a study whose job has failed makes the job that follows it, as urgent as the workitem is."""
    hospital.install()
    hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), Reason("broken", "It broke."))

    worklist = _ask(hospital, priority="HIGH")

    assert (_look(hospital), _told(worklist)[0]) == (1, "IN PROGRESS")
    jobs = "SELECT state, priority, predecessor_id IS NULL FROM job WHERE kind = 'inference' ORDER BY id"
    assert hospital.rows(jobs) == [("failed", "routine", True), ("scheduled", "stat", False)]


@pytest.mark.parametrize(
    ("wanted", "settings", "sentence"),
    [
        ({"algorithms": ("hearts",)}, {}, "No active algorithm has the name hearts"),
        ({"version": "2"}, {}, "The active version of lungs is 1, not 2."),
        ({"study": "1.2.4"}, {"wait_hours": 1e-9}, "Its study did not come"),
    ],
)
def test_what_cannot_be_performed_is_canceled_with_a_sentence(
    hospital: Hospital, wanted: dict[str, Any], settings: dict[str, float], sentence: str
) -> None:
    """An algorithm or a version that is not there, and a study that does not come, end a workitem; no job is made."""
    hospital.stable_study()
    hospital.install()
    worklist = _ask(hospital, **wanted)

    assert _look(hospital, **settings) == 1

    state, _, text = _told(worklist)
    assert (state, sentence in text) == ("CANCELED", True), text
    assert hospital.rows("SELECT id FROM job") == []


@pytest.mark.parametrize("made", [True, False])
def test_a_request_to_cancel_ends_the_job_that_was_made_for_it_and_no_other(hospital: Hospital, made: bool) -> None:
    """A job that the study had made by itself goes on, because others wait for it; the workitem ends either way."""
    if not made:
        hospital.install()
    hospital.stable_study()
    if made:
        hospital.install()
    worklist = _ask(hospital)
    _look(hospital)

    status = worklist.request_cancel(UID, CancelWish({"00741238": {"vr": "LT", "Value": ["Not now."]}}), "manager")

    assert (status.code, _told(worklist)) == (0, ("CANCELED", "110513", "Not now."))
    state = JobState.CANCELED if made else JobState.SCHEDULED
    assert hospital.rows("SELECT state FROM job WHERE kind = 'inference'") == [(str(state),)]


@pytest.mark.parametrize(
    ("patient_id", "issuer", "state"),
    [
        ("P2", "", "CANCELED"),
        ("P1", "B", "CANCELED"),
        ("", "", "IN PROGRESS"),
        (" P1 ", "A", "IN PROGRESS"),
        ("P1", "", "IN PROGRESS"),
    ],
)
def test_a_workitem_is_not_performed_on_a_study_of_another_patient(
    hospital: Hospital, patient_id: str, issuer: str, state: str
) -> None:
    """A UID that was mistaken must not give one patient the result of another; who names no patient means any."""
    hospital.install()
    hospital.receive(hospital.arrival(patient_id="P1", issuer_of_patient_id="A"))
    hospital.settle()
    worklist = PostgresWorklist(hospital.database, 100)
    wanted = new_workitem(study="1.2.3", algorithms=("lungs",))
    wanted |= {"00100020": {"vr": "LO", "Value": [patient_id]}, "00100021": {"vr": "LO", "Value": [issuer]}}
    worklist.create(NewWorkitem(UID, wanted), "manager")

    assert (_look(hospital), _told(worklist)[0]) == (1, state)

    if state == "CANCELED":
        assert _told(worklist)[1:] == ("110513", "The study is of another patient than the workitem names.")


def test_one_that_cannot_be_performed_keeps_no_other_waiting(hospital: Hospital) -> None:
    """A workitem that the database refuses to change is told as a fault, and those behind it are performed."""
    hospital.install()
    hospital.stable_study()
    worklist = _ask(hospital, "1.2.9.1")
    _ask(hospital, "1.2.9.2")
    with contextlib.closing(psycopg2.connect(hospital.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE workitem ADD CHECK (sop_instance_uid <> '1.2.9.1' OR state = 'SCHEDULED')")

    with pytest.raises(StorageError, match="refused a change"):
        _look(hospital)

    assert (_told(worklist, "1.2.9.1")[0], _told(worklist, "1.2.9.2")[0]) == ("SCHEDULED", "IN PROGRESS")


def test_a_page_of_large_workitems_ends_early(hospital: Hospital) -> None:
    """However many are asked for, what is answered at once is bounded; the total tells that there are more."""
    worklist = PostgresWorklist(hospital.database, 100, most_bytes=3500)
    for number in range(28):
        comment = {"00400400": {"vr": "LT", "Value": ["x" * 1000]}}
        worklist.create(NewWorkitem(f"1.2.{number}", new_workitem() | comment), "manager")

    found, rest = worklist.search({}, Page(100, 0)), worklist.search({}, Page(100, 26))

    assert ([each.sop_instance_uid for each in found.things], found.total) == (["1.2.0", "1.2.1", "1.2.2"], 28)
    assert [each.sop_instance_uid for each in rest.things] == ["1.2.26", "1.2.27"]


def test_no_account_takes_the_places_of_all_subscribers(hospital: Hospital) -> None:
    """Whoever may open a channel has twenty AE titles at most, so that others find a place."""
    subscriptions = PostgresSubscriptions(hospital.database, 100)
    for number in range(20):
        subscriptions.open(f"A{number}", "viewer")

    with pytest.raises(WorklistFull):
        subscriptions.open("A20", "viewer")

    subscriptions.open("A0", "viewer")
    subscriptions.open("MANAGER", "operator")


def test_who_subscribes_to_a_long_worklist_is_told_each_workitem_once_and_in_order(hospital: Hospital) -> None:
    """However many there are, each stands in one event; a second subscription tells nothing again."""
    worklist = PostgresWorklist(hospital.database, 100)
    for number in range(60):
        worklist.create(NewWorkitem(f"1.2.{number}", new_workitem()), "manager")
    subscriptions = PostgresSubscriptions(hospital.database, 100)

    for _ in range(2):
        subscriptions.subscribe(WORKLIST_UID, "MANAGER", "operator", deletion_lock=False)

    told = subscriptions.events("MANAGER")
    assert [each.sop_instance_uid for each in told] == [f"1.2.{number}" for number in range(60)]


def test_two_looks_at_once_make_one_job(open_hospital: Callable[..., Hospital]) -> None:
    """Two housekeepers at the same workitems take each of them once."""
    first, second = open_hospital(), open_hospital()
    first.stable_study()
    first.install()
    for number in range(5):
        _ask(first, f"1.2.9.{number}")
    both = threading.Barrier(2)

    def look(hospital: Hospital) -> None:
        both.wait()
        perform_workitems(hospital.database, _SETTINGS)

    threads = [threading.Thread(target=look, args=(hospital,)) for hospital in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _look(first)

    assert first.rows("SELECT count(*), count(DISTINCT job_id) FROM workitem_job") == [(5, 1)]
    assert first.rows("SELECT count(*) FROM job") == [(1,)]
    assert first.audited("workitem-claimed") == 5


def test_what_nothing_has_changed_is_not_written(hospital: Hospital) -> None:
    """A look that finds nothing new leaves the row as it is, so that nobody is told of nothing."""
    hospital.install()
    hospital.stable_study()
    _ask(hospital)
    _look(hospital)
    before = hospital.rows("SELECT changed_at FROM workitem")

    _look(hospital)

    assert hospital.rows("SELECT changed_at FROM workitem") == before


def test_another_performer_may_claim_what_is_ours_to_do(hospital: Hospital) -> None:
    """Who claims it first performs it: we make no job then, and end nothing of his."""
    hospital.stable_study()
    hospital.install()
    worklist = _ask(hospital)
    worklist.change_state(UID, WorkitemRequest.CLAIM, "2.25.5", "somebody")

    assert _look(hospital) == 0
    assert worklist.update(UID, {LABEL: {"vr": "LO", "Value": ["mine"]}}, "2.25.5", "somebody").code == 0
    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None


def test_what_ended_long_ago_is_removed_with_its_jobs_left(hospital: Hospital) -> None:
    """After keep_hours the workitem is gone; its job and the audit trail stay."""
    hospital.stable_study()
    hospital.install()
    worklist = _ask(hospital)
    _look(hospital)
    assert forget_workitems(hospital.database, WorkitemSettings(keep_hours=1e-9)) == 0
    worklist.request_cancel(UID, CancelWish({}), "manager")

    assert forget_workitems(hospital.database, _SETTINGS) == 0
    assert forget_workitems(hospital.database, WorkitemSettings(keep_hours=1e-9)) == 1

    assert hospital.rows("SELECT count(*) FROM job") == [(1,)]


def test_the_list_names_what_was_asked_for_and_why_it_was_canceled(hospital: Hospital) -> None:
    """Newest first; of one state where that is asked for."""
    hospital.stable_study()
    worklist = _ask(hospital)
    _ask(hospital, "1.2.10", algorithms=())
    _look(hospital)
    worklist.update("1.2.10", {LABEL: {"vr": "LO", "Value": ["later"]}}, "", "somebody")

    listed = hospital.overview.workitems(most=10)
    canceled = hospital.overview.workitems(state=WorkitemState.CANCELED, most=10)

    assert [(each["sop_instance_uid"], each["algorithms"]) for each in listed] == [("1.2.10", ""), (UID, "lungs")]
    assert [each["sop_instance_uid"] for each in canceled] == [UID]
    assert "No active algorithm has the name lungs" in canceled[0]["reason"]


def test_of_a_subscriber_who_is_away_the_newest_events_are_kept(hospital: Hospital) -> None:
    """Who never listens costs a bounded number of rows; those of others stay."""
    worklist, subscriptions = _ask(hospital, algorithms=()), PostgresSubscriptions(hospital.database, 10)
    for title in ("AWAY", "HERE"):
        subscriptions.subscribe(UID, title, "manager", deletion_lock=False)
    worklist.change_state(UID, WorkitemRequest.CLAIM, "2.25.5", "somebody")
    subscriptions.sent("HERE", [event.event_id for event in subscriptions.events("HERE")][:1])

    forget_events(hospital.database, 3600, most=1)

    assert [event.information["00741000"]["Value"] for event in subscriptions.events("AWAY")] == [["IN PROGRESS"]]
    assert len(subscriptions.events("HERE")) == 1


def test_a_job_that_another_workitem_waits_for_is_not_canceled(hospital: Hospital) -> None:
    """Two systems ask for the same; what one no longer wants is still made for the other."""
    arrivals = hospital.stable_study()
    hospital.install()
    worklist = _ask(hospital)
    _ask(hospital, "1.2.10")
    _look(hospital)

    worklist.request_cancel(UID, CancelWish({}), "manager")
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), ())
    _look(hospital)

    assert [_told(worklist, uid)[0] for uid in (UID, "1.2.10")] == ["CANCELED", "COMPLETED"]
