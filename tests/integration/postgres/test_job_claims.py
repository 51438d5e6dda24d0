"""Claiming: the most urgent first, each job once, the attempt spent at the claim."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from storage.domain.job import JobKind
from storage.errors import LeaseLost
from storage.postgres.statement import statement


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


_BOTH = {"job_due", "job_of_source"}


def _fill(hospital: Any) -> None:
    """Twenty thousand jobs that wait, of ten senders, and ten thousand that have ended."""
    hospital.install()
    hospital.stable_study()
    hospital.rows(
        "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
        "SELECT 'other', n::text, 'retired', '', repeat('a', 64), repeat('b', 64) "
        "FROM generate_series(1, 30000) AS n"
    )
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows(
        "INSERT INTO job (kind, study_id, revision, algorithm_id, due_at, source, turn, state, finished_at, "
        "reason_code, reason_sentence) "
        "SELECT 'inference', 1, 1, id, now() - id * interval '1 second', 'CT' || id % 10, id / 10, "
        "CASE WHEN id % 3 = 0 THEN 'canceled' ELSE 'scheduled' END, CASE WHEN id % 3 = 0 THEN now() END, 'why', '' "
        "FROM algorithm WHERE stage = 'retired'"
    )
    hospital.rows("ANALYZE job")


def _scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of an executed plan that read the table of jobs, after a look that nothing is sorted."""
    assert plan["Node Type"] != "Sort"
    below = [scan for part in plan.get("Plans", []) for scan in _scans(part)]
    return [plan, *below] if plan.get("Relation Name") == "job" and "Scan" in plan["Node Type"] else below


@pytest.mark.parametrize(
    ("name", "parameters", "indexes"),
    [
        ("claim_job", {"kind": "inference", "worker": "worker", "lease_seconds": 30}, {"job_due", "job_pkey"}),
        ("turn_in_line", {"source": "CT5", "priority": "routine", "priority_rank": 1, "shadow": False}, _BOTH),
        ("turn_in_line", {"source": "NEW", "priority": "routine", "priority_rank": 1, "shadow": False}, _BOTH),
        ("turn_in_line", {"source": None, "priority": "routine", "priority_rank": 1, "shadow": False}, {"job_due"}),
    ],
    ids=["claim", "turn of a source", "turn of a new source", "front of the line"],
)
def test_the_line_is_read_by_its_indexes(
    hospital: Any, name: str, parameters: dict[str, Any], indexes: set[str]
) -> None:
    """With tens of thousands of jobs, ended and waiting, each look at the line reads one row and sorts none."""
    _fill(hospital)
    with hospital.database.transaction() as session:
        [explained] = session.execute(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(name).text}"), parameters
        ).scalar_one()
    scans = _scans(explained["Plan"])

    assert {scan["Index Name"] for scan in scans} == indexes
    for scan in scans:
        assert scan["Actual Rows"] <= 1
        assert scan.get("Rows Removed by Filter", 0) == 0


def test_a_lane_reads_nothing_of_what_waits_for_other_destinations(hospital: Any) -> None:
    """With twenty thousand older deliveries to a dead destination, a claim of another reads one row and sorts none."""
    hospital.install()
    hospital.stable_study()
    hospital.rows(
        "SET LOCAL session_replication_role = replica; "  # deliveries without results
        "INSERT INTO job (kind, study_id, revision, result_id, destination, due_at) "
        "SELECT 'delivery', 1, 1, n, CASE WHEN n % 20 = 0 THEN 'pacs' ELSE 'dead' END, "
        "now() - (20001 - n) * interval '1 second' FROM generate_series(1, 20000) AS n"
    )
    hospital.rows("ANALYZE job")

    with hospital.database.transaction() as session:
        [explained] = session.execute(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('claim_delivery').text}"),
            {"destination": "pacs", "worker": "worker", "lease_seconds": 30},
        ).scalar_one()
    scans = _scans(explained["Plan"])

    assert {scan["Index Name"] for scan in scans} == {"job_due_at_destination", "job_pkey"}
    for scan in scans:
        assert scan["Actual Rows"] <= 1
        assert scan.get("Rows Removed by Filter", 0) == 0
