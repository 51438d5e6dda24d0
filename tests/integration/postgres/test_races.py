"""Fault F16: every two events of one job that meet in the database, each in either order.

The first one has changed its rows and cannot commit yet, because the test holds the audit trail; then the second comes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest

from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.job import FINAL_STATES, ClaimedJob, JobEvent, JobKind, JobState, Priority, Reason
from storage.errors import InvalidTransition, LeaseLost
from storage.housekeeping.rescue_leases import rescue_leases

_WHY = Reason("trouble", "Something went wrong.")
_DEADLINE_S = 30.0
RESCUE = "rescue"  # the housekeeper's retry, or fail

_Event = Callable[[Any, ClaimedJob], object]
_EVENTS: dict[str, _Event] = {
    JobEvent.RENEW: lambda hospital, job: hospital.queue.renew(job),
    JobEvent.COMPLETE: lambda hospital, job: hospital.queue.complete_delivery(job, _stored(hospital)),
    JobEvent.RETRY: lambda hospital, job: hospital.queue.retry(job, _WHY, timedelta(hours=1)),
    JobEvent.FAIL: lambda hospital, job: hospital.queue.fail(job, _WHY),
    JobEvent.CANCEL: lambda hospital, job: hospital.queue.cancel(job.job_id, "operator"),
    RESCUE: lambda hospital, job: rescue_leases(hospital.database, hospital.settings),
}


def _stored(hospital: Any) -> list[SendOutcome]:
    uids = hospital.rows("SELECT sop_instance_uid FROM evidence")
    return [SendOutcome(uid, Verdict.DELIVERED, 0, "Stored.") for (uid,) in uids]


_ENDS: dict[str, JobState] = {
    JobEvent.RENEW: JobState.IN_PROGRESS,
    JobEvent.COMPLETE: JobState.COMPLETED,
    JobEvent.RETRY: JobState.SCHEDULED,
    JobEvent.FAIL: JobState.FAILED,
    JobEvent.CANCEL: JobState.CANCELED,
    RESCUE: JobState.SCHEDULED,
}
_AUDITED: dict[str, str] = {
    JobEvent.COMPLETE: "job-completed",
    JobEvent.RETRY: "job-retried",
    JobEvent.FAIL: "job-failed",
    JobEvent.CANCEL: "job-canceled",
    RESCUE: "job-retried",
}


def _second(first: str, second: str) -> tuple[str, JobState]:
    """What becomes of the second event, and of the job, by the table of transitions."""
    if first == JobEvent.RENEW:
        return ("nothing", JobState.IN_PROGRESS) if second == RESCUE else ("done", _ENDS[second])
    if _ENDS[first] is JobState.SCHEDULED and second == JobEvent.CANCEL:
        return "done", JobState.CANCELED
    return "nothing" if second == RESCUE else "refused", _ENDS[first]


@pytest.mark.parametrize("first", _EVENTS)
def test_of_two_events_that_meet_only_what_the_table_permits_happens(
    open_hospital: Callable[..., Any], first: str
) -> None:
    """No final state is written twice, nothing happens without its audit row, and the one who comes late is told so."""
    one, other = open_hospital(), open_hospital()
    one.install()
    one.analysed(destinations=tuple(_EVENTS))
    jobs = [one.claimed(JobKind.DELIVERY) for _ in _EVENTS]
    one.rows("UPDATE job SET lease_expires_at = 'infinity' WHERE state = 'in_progress'")
    for job, second in zip(jobs, _EVENTS, strict=True):
        one.rows("UPDATE job SET lease_expires_at = now() - interval '1 s' WHERE id = %s", job.job_id)
        before = _audited(one, job)

        outcomes = _meet(one, partial(_EVENTS[first], one, job), partial(_EVENTS[second], other, job))

        expected, state = _second(first, second)
        assert outcomes == ("done", expected), (first, second)
        assert _state(one, job) == state, (first, second)
        happened = [first] + ([second] if expected == "done" else [])
        assert _audited(one, job) - before == len([event for event in happened if event in _AUDITED]), (first, second)
        if state not in FINAL_STATES:
            one.rows("UPDATE job SET lease_expires_at = 'infinity' WHERE state = 'in_progress'")


@pytest.mark.parametrize("first", ["claim", "cancel"])
def test_a_claim_and_a_cancellation_that_meet_leave_a_canceled_job(
    open_hospital: Callable[..., Any], first: str
) -> None:
    """A worker that claimed first finds its lease gone; one that comes second finds no job."""
    one, other = open_hospital(), open_hospital()
    one.install()
    one.analysed()
    [(job_id,)] = one.rows("SELECT id FROM job WHERE kind = 'delivery'")
    claimed: list[ClaimedJob | None] = []
    events = {
        "claim": lambda hospital: claimed.append(hospital.queue.claim(JobKind.DELIVERY, "worker")),
        "cancel": lambda hospital: hospital.queue.cancel(job_id, "operator"),
    }
    second = next(name for name in events if name != first)

    assert _meet(one, lambda: events[first](one), lambda: events[second](other)) == ("done", "done")

    assert one.rows("SELECT state FROM job WHERE id = %s", job_id) == [("canceled",)]
    assert [job is not None for job in claimed] == [first == "claim"]
    for job in filter(None, claimed):
        with pytest.raises(LeaseLost):
            one.queue.complete_delivery(job, [])


@pytest.mark.parametrize("first", ["claim", "prioritise"])
def test_a_claim_and_a_new_priority_that_meet_leave_the_job_whole(
    open_hospital: Callable[..., Any], first: str
) -> None:
    """A job that is claimed first keeps its priority; one that gets a new one is passed over once, and then claimed."""
    one, other = open_hospital(), open_hospital()
    one.install()
    one.stable_study()
    [(job_id,)] = one.rows("SELECT id FROM job")
    claimed: list[ClaimedJob | None] = []
    events = {
        "claim": lambda hospital: claimed.append(hospital.queue.claim(JobKind.INFERENCE, "worker")),
        "prioritise": lambda hospital: hospital.queue.prioritise(job_id, Priority.STAT, "operator"),
    }
    second = next(name for name in events if name != first)

    ends = _meet(one, lambda: events[first](one), lambda: events[second](other))

    if first == "claim":
        assert ends == ("done", "refused")
        assert [job is not None for job in claimed] == [True]
        assert one.rows("SELECT state, priority FROM job") == [("in_progress", "routine")]
    else:
        assert (ends, claimed) == (("done", "done"), [None])
        assert one.rows("SELECT state, priority FROM job") == [("scheduled", "stat")]
        assert one.claimed().job_id == job_id


def test_two_rescuers_that_meet_rescue_a_job_once(open_hospital: Callable[..., Any]) -> None:
    """Where two housekeepers look at a time, as while leadership passes on, the job is given back once."""
    one, other = open_hospital(), open_hospital()
    one.install()
    one.analysed()
    job = one.claimed(JobKind.DELIVERY)
    one.expire_leases()

    assert _meet(one, lambda: _EVENTS[RESCUE](one, job), lambda: _EVENTS[RESCUE](other, job)) == ("done", "nothing")

    assert one.audited("job-retried") == 1


def _meet(hospital: Any, first: Callable[[], object], second: Callable[[], object]) -> tuple[str, str]:
    """Let the second event begin while the first has its rows and no audit row yet; how each ended."""
    ends: dict[str, str] = {}

    def run(name: str, event: Callable[[], object]) -> None:
        try:
            ends[name] = "nothing" if event() == 0 else "done"
        except (LeaseLost, InvalidTransition):
            ends[name] = "refused"

    threads = [
        threading.Thread(target=run, args=("first", first)),
        threading.Thread(target=run, args=("second", second)),
    ]
    with _audit_trail_held(hospital) as waiting:
        for thread in threads:
            before = waiting()
            thread.start()
            deadline = time.monotonic() + _DEADLINE_S
            while thread.is_alive() and waiting() == before:
                assert time.monotonic() < deadline, "neither ended nor waits"
    for thread in threads:
        thread.join(_DEADLINE_S)
        assert not thread.is_alive()
    return ends["first"], ends["second"]


@contextlib.contextmanager
def _audit_trail_held(hospital: Any) -> Iterator[Callable[[], int]]:
    """Nobody can add an audit row for as long as the block; it tells how many connections wait for a lock."""
    with contextlib.closing(psycopg2.connect(hospital.url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_event IN SHARE ROW EXCLUSIVE MODE")

        def waiting() -> int:
            cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            return int(cursor.fetchone()[0])

        yield waiting


def _state(hospital: Any, job: ClaimedJob) -> JobState:
    [(state,)] = hospital.rows("SELECT state FROM job WHERE id = %s", job.job_id)
    return JobState(state)


def _audited(hospital: Any, job: ClaimedJob) -> int:
    [(count,)] = hospital.rows(
        "SELECT count(*)::int FROM audit_event WHERE job_id = %s AND action = ANY(%s)",
        job.job_id,
        list(_AUDITED.values()),
    )
    return int(count)
