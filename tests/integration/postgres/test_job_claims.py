"""Claiming: the most urgent first, each job once, the attempt spent at the claim."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from storage.domain.job import JobKind, Priority, Reason
from storage.errors import LeaseLost
from storage.postgres.statement import statement
from storage.postgres.work_signal import SECONDS_UNTIL_DUE


def test_a_claim_spends_an_attempt_and_starts_a_lease(hospital: Any) -> None:
    """The first claim is attempt one, holds a token, and its times are the database's."""
    hospital.install()
    hospital.stable_study()

    job = hospital.claimed()

    assert (job.attempt, job.max_attempts, job.kind) == (1, 3, JobKind.INFERENCE)
    assert (job.algorithm_name, job.algorithm_version) == ("lungs", "1")
    assert (job.study_instance_uid, job.revision, job.result_id, job.destination) == ("1.2.3", 1, None, "")
    assert hospital.rows("SELECT state, worker, lease_expires_at > now() FROM job") == [
        ("in_progress", "worker one", True)
    ]
    assert hospital.queue.claim(JobKind.INFERENCE, "worker two") is None


def test_stat_is_claimed_before_routine_and_the_older_before_the_newer(hospital: Any) -> None:
    """Priority decides first, then, between those whose turn it is, the time at which a job became due."""
    hospital.install()
    for number in range(1, 5):
        hospital.receive(hospital.arrival(f"1.{number}", hospital.association(calling_ae_title=f"CT{number}")))
        hospital.settle()
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET priority = 'low' WHERE study_id = 1")
    hospital.rows("UPDATE job SET priority = 'stat' WHERE study_id = 4")
    hospital.rows("UPDATE job SET due_at = due_at - interval '1 hour' WHERE study_id = 3")

    order = [hospital.claimed().study_instance_uid for _ in range(4)]

    assert order == ["1.4", "1.3", "1.2", "1.1"]


def test_a_job_that_is_not_due_is_not_claimed(hospital: Any) -> None:
    """Work scheduled for later stays where it is."""
    hospital.install()
    hospital.stable_study()
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET due_at = now() + interval '1 hour'")

    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None


def test_racing_claimants_get_each_job_once(open_hospital: Callable[..., Any]) -> None:
    """Six workers that start together share thirty jobs without taking one twice or leaving one."""
    hospitals = [open_hospital() for _ in range(6)]
    hospitals[0].install()
    for number in range(30):
        hospitals[0].stable_study(f"1.2.{number}", instances=1)
    barrier = threading.Barrier(len(hospitals))
    taken: list[int] = []

    def work(hospital: Any) -> None:
        barrier.wait()
        while (job := hospital.queue.claim(JobKind.INFERENCE, "worker")) is not None:
            taken.append(job.job_id)

    threads = [threading.Thread(target=work, args=[hospital]) for hospital in hospitals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 30
    assert len(set(taken)) == 30
    assert hospitals[0].audited("job-claimed") == 30


def test_a_claimant_does_not_wait_for_a_job_another_one_holds(open_hospital: Callable[..., Any]) -> None:
    """While one transaction holds the first job, the next claimant takes the second at once."""
    hospital = open_hospital()
    hospital.install()
    hospital.stable_study("1.1")
    hospital.stable_study("1.2")

    with hospital.database.transaction() as session:
        session.connection().exec_driver_sql("SELECT id FROM job ORDER BY id LIMIT 1 FOR UPDATE")
        assert hospital.claimed().study_instance_uid == "1.2"
        assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None

    assert hospital.claimed().study_instance_uid == "1.1"


def test_renewing_moves_the_lease_on(hospital: Any) -> None:
    """The holder of the token gets another lease period."""
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()
    hospital.expire_leases()

    hospital.queue.renew(job)

    assert hospital.rows("SELECT lease_expires_at > now() FROM job") == [(True,)]


def test_renewing_a_lost_lease_is_refused(hospital: Any) -> None:
    """Whoever does not hold the token gets LeaseLost."""
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.cancel(job.job_id, "operator")

    with pytest.raises(LeaseLost):
        hospital.queue.renew(job)


_JOBS = int(os.environ.get("OVERREAD_TEST_JOBS", "12000"))  # a million in the long form
_RANKS = [0, 1, 2]
_MOST_ROWS = 8  # of each class and urgency, so that claimants at the same moment find one each
_MOST_PAGES = 100  # of table and indexes, for one look at the line; 12,000 jobs have some 300


def _fill(hospital: Any) -> None:
    """Jobs of ten senders: a third has ended, a third was never tried, and a third stands in front of it, tried before
    and not due for an hour."""
    hospital.install()
    hospital.stable_study()
    hospital.rows(
        "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
        "SELECT 'other', n::text, 'retired', '', repeat('a', 64), repeat('b', 64) "
        "FROM generate_series(1, %s) AS n",
        _JOBS,
    )
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows(
        "INSERT INTO job (kind, study_id, revision, algorithm_id, due_at, source, turn, state, finished_at, "
        "reason_code, reason_sentence, attempt, started_at) "
        "SELECT 'inference', 1, 1, id, now() + CASE WHEN id % 3 = 1 THEN '1 hour' ELSE id * interval '-1 second' END, "
        "'CT' || id % 10, id + CASE WHEN id % 3 = 1 THEN 0 ELSE 10000000 END, "
        "CASE WHEN id % 3 = 0 THEN 'canceled' ELSE 'scheduled' END, CASE WHEN id % 3 = 0 THEN now() END, 'why', '', "
        "CASE WHEN id % 3 = 1 THEN 1 ELSE 0 END, CASE WHEN id % 3 = 1 THEN now() END "
        "FROM algorithm WHERE stage = 'retired'"
    )
    hospital.rows("ALTER TABLE job ENABLE TRIGGER job_follows_lifecycle")
    hospital.rows("VACUUM ANALYZE job")


def _explained(hospital: Any, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of an executed plan that read the table of jobs, which must read and sort next to nothing."""
    with hospital.database.transaction() as session:
        session.execute(text("SET LOCAL jit = off"))
        [explained] = session.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"), parameters).scalar_one()
    plan = explained["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= _MOST_PAGES
    scans = _scans(plan)
    for scan in scans:
        assert scan["Actual Rows"] <= _MOST_ROWS
        assert scan.get("Rows Removed by Filter", 0) == 0
    return scans


def _scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Sorted are the heads of the lines at most, some of each class and urgency."""
    most = _MOST_ROWS * (1 + 2 * len(_RANKS))
    assert plan["Node Type"] not in ("Sort", "Incremental Sort") or plan["Actual Rows"] <= most
    below = [scan for part in plan.get("Plans", []) for scan in _scans(part)]
    return [plan, *below] if plan.get("Relation Name") == "job" and "Scan" in plan["Node Type"] else below


_ROUTINE = {"priority": "routine", "priority_rank": 1, "shadow": False}


@pytest.mark.parametrize(
    ("name", "parameters", "indexes"),
    [
        ("due_job", {"kind": "inference", "ranks": _RANKS}, {"job_due", "job_due_again", "job_pkey"}),
        ("turn_in_line", {"source": "CT5", **_ROUTINE}, {"job_due", "job_of_source"}),
        ("turn_in_line", {"source": "NEW", **_ROUTINE}, {"job_due", "job_of_source"}),
        ("turn_in_line", {"source": None, **_ROUTINE}, {"job_due"}),
    ],
    ids=["claim", "turn of a source", "turn of a new source", "front of the line"],
)
def test_the_line_is_read_by_its_indexes(
    hospital: Any, name: str, parameters: dict[str, Any], indexes: set[str]
) -> None:
    """With tens of thousands of jobs, ended, waiting and waiting for their time in front of the others, each look at
    the line reads one row of each class and few pages (a million of them with OVERREAD_TEST_JOBS=1000000)."""
    _fill(hospital)

    scans = _explained(hospital, statement(name).text, parameters)

    assert {scan["Index Name"] for scan in scans if scan["Actual Loops"]} == indexes


def test_a_line_of_nothing_but_retries_is_read_by_its_indexes(hospital: Any) -> None:
    """When every job waits for its time, a claim, the front of the line and the time to wait are found as fast."""
    _fill(hospital)
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("DELETE FROM job WHERE attempt = 0")
    hospital.rows("VACUUM ANALYZE job")

    claim = _explained(hospital, statement("due_job").text, {"kind": "inference", "ranks": _RANKS})
    front = _explained(hospital, statement("turn_in_line").text, {"source": None, **_ROUTINE})
    # psycopg2's parameters as ours
    asked = SECONDS_UNTIL_DUE.replace("%(kind)s", ":kind").replace("%(ranks)s", "CAST(:ranks AS integer[])")
    wait = _explained(hospital, asked, {"kind": "inference", "ranks": _RANKS})

    assert {scan["Index Name"] for scan in claim} == {"job_due", "job_due_again", "job_pkey"}
    assert {scan["Index Name"] for scan in front} == {"job_due", "job_tried_in_line"}
    assert {scan["Index Name"] for scan in wait} == {"job_due", "job_due_again"}
    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None


def test_what_was_tried_before_is_claimed_when_it_is_due_and_by_its_turn(hospital: Any) -> None:
    """It stands where its turn is among those that were never tried; before it is due the others are claimed."""
    hospital.install()
    for study in ("1.2.3", "1.2.4", "1.2.5"):
        hospital.stable_study(study)
    first = hospital.claimed()
    hospital.queue.retry(first, Reason("away", "Away."), timedelta(hours=1))
    second = hospital.claimed()
    hospital.rows(
        "SET LOCAL session_replication_role = replica; UPDATE job SET due_at = now() WHERE id = %s", first.job_id
    )
    third, fourth = hospital.claimed(), hospital.claimed()

    assert [one.study_instance_uid for one in (first, second, third, fourth)] == ["1.2.3", "1.2.4", "1.2.3", "1.2.5"]
    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None


def test_claimants_at_the_same_moment_take_the_most_urgent_one_each(hospital: Any) -> None:
    """While one holds what it has found, the next finds the next urgent, tried before or not, and locks no more than it
    takes: two that are STAT go before one that is not, whoever looks first."""
    hospital.install()
    for study in ("1.2.3", "1.2.4", "1.2.5"):
        hospital.stable_study(study)
    hospital.rows(
        "SET LOCAL session_replication_role = replica; "
        "UPDATE job SET priority = 'stat' WHERE id > 1; UPDATE job SET attempt = 1, started_at = now() WHERE id = 3"
    )
    urgency = "SELECT priority FROM job WHERE id = :id"

    def look(session: Any) -> str:
        found = session.scalar(statement("due_job"), {"kind": "inference", "ranks": _RANKS})
        return str(session.scalar(text(urgency), {"id": found}))

    with hospital.database.transaction() as one, hospital.database.transaction() as two:
        assert [look(one), look(two)] == ["stat", "stat"]
        assert hospital.claimed().study_instance_uid == "1.2.3"


def test_deliveries_of_one_place_are_taken_in_order_at_the_same_moment(hospital: Any) -> None:
    """One claimant's look takes nothing from the next: urgent ones of one destination first."""
    hospital.install()
    for study in ("1.2.3", "1.2.4", "1.2.5"):
        hospital.analysed(study)
    hospital.rows(
        "SET LOCAL session_replication_role = replica; "
        "UPDATE job SET priority = 'stat' WHERE kind = 'delivery' AND study_id > 1"
    )

    def look(session: Any) -> str:
        found = session.scalar(statement("due_delivery"), {"destination": "pacs", "ranks": _RANKS})
        return str(session.scalar(text("SELECT priority FROM job WHERE id = :id"), {"id": found}))

    with hospital.database.transaction() as one, hospital.database.transaction() as two:
        assert [look(one), look(two)] == ["stat", "stat"]
        last = hospital.queue.claim_delivery("worker", "pacs")
    assert last is not None
    assert last.study_instance_uid == "1.2.3"


@pytest.mark.parametrize("priority", list(Priority))
@pytest.mark.parametrize("claim", ["inference", "delivery", "stray"])
def test_no_priority_is_forgotten_by_any_claim(hospital: Any, priority: Priority, claim: str) -> None:
    """A job of each priority is found again once it was tried; so is a delivery, of a known destination or not."""
    hospital.install()
    if claim == "inference":
        hospital.stable_study()
    else:
        hospital.analysed()
    kind = JobKind.INFERENCE if claim == "inference" else JobKind.DELIVERY
    hospital.rows(
        "SET LOCAL session_replication_role = replica; UPDATE job SET priority = %s, attempt = 1, started_at = now() "
        "WHERE kind = %s",
        *(str(priority), str(kind)),
    )
    claims = {
        "inference": lambda: hospital.queue.claim(JobKind.INFERENCE, "worker"),
        "delivery": lambda: hospital.queue.claim_delivery("worker", "pacs"),
        "stray": lambda: hospital.queue.claim_stray_delivery("worker", ["other"]),
    }

    job = claims[claim]()

    assert job is not None
    assert (job.kind, job.attempt) == (kind, 2)


def test_a_lane_reads_nothing_of_what_waits_for_other_destinations(hospital: Any) -> None:
    """With twenty thousand older deliveries to a dead destination, and some that wait for their time, a claim of
    another reads one row of each urgency and sorts next to none."""
    hospital.install()
    hospital.stable_study()
    hospital.rows(
        "SET LOCAL session_replication_role = replica; "  # deliveries without results
        "INSERT INTO job (kind, study_id, revision, result_id, destination, due_at) "
        "SELECT 'delivery', 1, 1, n, CASE WHEN n % 20 = 0 THEN 'pacs' ELSE 'dead' END, "
        "now() - CASE WHEN n % 40 = 0 THEN '-1 hour' ELSE (20001 - n) * interval '1 second' END "
        "FROM generate_series(1, 20000) AS n"
    )
    hospital.rows("ANALYZE job")

    parameters = {"destination": "pacs", "ranks": _RANKS}
    scans = _explained(hospital, statement("due_delivery").text, parameters)
    strays = _explained(hospital, statement("due_stray_delivery").text, {"known": ["pacs", "dead"], "ranks": _RANKS})

    assert {scan["Index Name"] for scan in scans} == {"job_due_at_destination", "job_pkey"}
    assert {scan["Index Name"] for scan in strays} == {"job_due_at_destination"}
    assert hospital.queue.claim_stray_delivery("worker", ["pacs", "dead"]) is None
