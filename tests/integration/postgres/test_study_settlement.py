"""Quiet long enough: a study becomes stable and gets one job per active algorithm."""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from storage.domain.job import JobKind
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.study_settlement import PostgresStudySettlement


def test_a_quiet_study_becomes_stable_with_one_job_per_active_algorithm(hospital: Any) -> None:
    """Revision, instances, jobs and audit rows appear together."""
    hospital.install("lungs", "1")
    hospital.install("lungs", "2")
    hospital.install("liver")
    hospital.receive(hospital.arrival(), hospital.arrival())

    assert hospital.settle() == 1

    assert hospital.rows("SELECT revision FROM study") == [(1,)]
    assert hospital.rows("SELECT DISTINCT revision FROM instance") == [(1,)]
    assert hospital.rows(
        "SELECT name, version, state FROM job JOIN algorithm ON algorithm.id = algorithm_id ORDER BY 1"
    ) == [("liver", "1", "scheduled"), ("lungs", "2", "scheduled")]
    assert [hospital.audited("study-stable"), hospital.audited("job-scheduled")] == [1, 2]
    assert hospital.overview.status()["studies"][0]["state"] == "queued"


def test_the_log_counts_the_new_jobs(hospital: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The line reads well for any number of jobs."""
    hospital.install()
    hospital.receive(hospital.arrival())

    with caplog.at_level(logging.INFO):
        hospital.settle()

    assert "study 1.2.3 is stable as revision 1 (quiet); new jobs: 1" in caplog.messages


def test_a_study_that_is_still_receiving_is_left_alone(hospital: Any) -> None:
    """Before the quiet time is over nothing happens; after it, the study settles."""
    hospital.install()
    hospital.receive(hospital.arrival())

    assert settle_studies(hospital.database, 3600) == 0
    assert hospital.overview.status()["studies"][0]["state"] == "receiving"

    hospital.rows("UPDATE study SET last_received_at = now() - interval '2 hours'")
    assert settle_studies(hospital.database, 3600) == 1


def test_late_images_make_a_new_revision(hospital: Any) -> None:
    """What came later belongs to the next revision only, which gets jobs of its own."""
    hospital.install()
    hospital.stable_study(instances=2)
    hospital.receive(hospital.arrival())

    assert hospital.settle() == 1
    assert hospital.rows("SELECT revision, count(*) FROM instance GROUP BY 1 ORDER BY 1") == [(1, 2), (2, 1)]
    assert hospital.rows("SELECT revision FROM job ORDER BY id") == [(1,), (2,)]


def test_a_settled_study_is_not_settled_again(hospital: Any) -> None:
    """Without new instances there is no new revision."""
    hospital.install()
    hospital.stable_study()

    assert hospital.settle() == 0


def test_without_an_algorithm_a_study_reads_not_analysed(hospital: Any) -> None:
    """The study is stable, has no job, and says why."""
    hospital.stable_study()

    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["reason_code"]) == ("not-analysed", "no-algorithm")
    assert "algorithm" in study["reason"]
    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None
    assert hospital.overview.no_silent_state() == []


def test_a_study_being_written_is_not_settled(hospital: Any) -> None:
    """While an arrival holds the study, the housekeeper skips it instead of taking half of it."""
    hospital.install()
    hospital.receive(hospital.arrival())

    with hospital.database.transaction() as session:
        session.connection().exec_driver_sql("SELECT id FROM study FOR UPDATE")
        assert hospital.settle() == 0

    assert hospital.settle() == 1


def test_a_study_does_not_become_stable_amid_an_arrival(open_hospital: Callable[..., Any]) -> None:
    """From before its first instance is written until the commit, an arrival keeps the study from settling."""
    sender, housekeeper = open_hospital(), open_hospital()
    sender.install()
    sender.receive(sender.arrival())
    sender.rows("UPDATE study SET last_received_at = now() - interval '1 hour'")
    late = sender.arrival()
    columns = "sop_class_uid, transfer_syntax_uid, sha256, size, association_id, received_at"
    copy_of_row = (
        f"INSERT INTO instance (study_id, series_id, sop_instance_uid, {columns}) "  # noqa: S608 - the words above
        f"SELECT study_id, series_id, %s, {columns} FROM instance"
    )
    with contextlib.closing(psycopg2.connect(sender.url)) as blocker, blocker.cursor() as cursor:
        cursor.execute(copy_of_row, [late.header.sop_instance_uid])
        arriving = threading.Thread(target=sender.receive, args=[late])
        arriving.start()
        while sender.rows("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") == []:
            pass
        settled_meanwhile = housekeeper.settle()
        blocker.rollback()
        arriving.join()

    assert settled_meanwhile == 0
    assert housekeeper.settle() == 1
    assert sender.rows("SELECT revision, count(*) FROM instance GROUP BY 1") == [(1, 2)]


def test_housekeepers_that_race_settle_each_study_once(open_hospital: Callable[..., Any]) -> None:
    """Four housekeepers at once make one revision and one job per study."""
    hospitals = [open_hospital() for _ in range(4)]
    hospitals[0].install()
    for number in range(15):
        hospitals[0].receive(hospitals[0].arrival(f"1.2.{number}"))
    barrier = threading.Barrier(len(hospitals))
    counts: list[int] = []

    def settle(hospital: Any) -> None:
        barrier.wait()
        counts.append(hospital.settle())

    threads = [threading.Thread(target=settle, args=[hospital]) for hospital in hospitals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 15
    assert hospitals[0].rows("SELECT count(*), max(revision) FROM job") == [(15, 1)]


def test_arrivals_and_settlement_that_race_lose_no_instance(open_hospital: Callable[..., Any]) -> None:
    """Every instance ends in exactly one revision, whoever came first."""
    sender, housekeeper = open_hospital(), open_hospital()
    sender.install()
    done = threading.Event()

    def keep_settling() -> None:
        while not done.is_set():
            housekeeper.settle()

    thread = threading.Thread(target=keep_settling)
    thread.start()
    for _ in range(40):
        sender.receive(sender.arrival(), sender.arrival())
    done.set()
    thread.join()
    sender.settle()

    assert sender.rows("SELECT count(*) FROM instance WHERE revision IS NULL") == [(0,)]
    assert sender.rows("SELECT count(*) FROM instance") == [(80,)]
    assert sender.rows("SELECT revision FROM study") == sender.rows("SELECT count(*)::int FROM job")
    assert sender.overview.no_silent_state() == []


def test_registering_a_version_retires_the_previous_one(hospital: Any) -> None:
    """One active version per name; the change is audited and can be read back."""
    hospital.install("lungs", "1")
    hospital.install("lungs", "2")
    hospital.install("lungs", "2")

    assert [(known.version, known.stage) for known in hospital.algorithms.all()] == [("2", "active"), ("1", "retired")]
    assert [known.version for known in hospital.algorithms.all(hospital.algorithms.find("lungs", "2").stage)] == ["2"]
    assert [hospital.audited("algorithm-added"), hospital.audited("algorithm-retired")] == [2, 1]
    hospital.install("lungs", "1")
    assert hospital.algorithms.find("lungs", "2").stage == "retired"


def test_a_study_is_settled_at_once_when_it_is_said_to_be_complete(hospital: Any) -> None:
    """As soon as the named instances have rows, whatever the quiet time; a second call changes nothing."""
    hospital.install()
    first, second = hospital.arrival(), hospital.arrival()
    uids = [first.header.sop_instance_uid, second.header.sop_instance_uid]
    settlement = PostgresStudySettlement(hospital.database)

    assert settlement.settle_now("1.2.3", uids, "researcher") is False
    hospital.receive(first)
    assert settlement.settle_now("1.2.3", uids, "researcher") is False
    assert hospital.rows("SELECT revision FROM study") == [(0,)]
    hospital.receive(second)
    assert settlement.settle_now("1.2.3", uids, "researcher") is True
    assert settlement.settle_now("1.2.3", uids, "researcher") is True

    assert hospital.rows("SELECT revision FROM study") == [(1,)]
    assert hospital.rows("SELECT state FROM job") == [("scheduled",)]
    assert hospital.rows("SELECT actor FROM audit_event WHERE action = 'study-stable'") == [("researcher",)]


def test_a_parked_study_is_not_settled_by_anybody(hospital: Any) -> None:
    """Two patients in one study: whoever says that it is complete gets no analysis of the mix."""
    hospital.install()
    one, other = hospital.arrival(), hospital.arrival(patient_id="P2")
    hospital.receive(one, other)
    uids = [one.header.sop_instance_uid, other.header.sop_instance_uid]

    assert PostgresStudySettlement(hospital.database).settle_now("1.2.3", uids, "researcher") is True

    assert hospital.rows("SELECT count(*) FROM job") == [(0,)]
