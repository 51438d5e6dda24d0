"""Workers sleep until there is work: notified, not polling, and back again after the server was away."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from storage.domain.job import JobKind, Reason
from storage.postgres import work_signal
from storage.postgres.engine import open_database
from storage.postgres.work_signal import WorkSignal

_LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s"


def _waiting(hospital: Any, kind: JobKind) -> threading.Thread:
    """A thread that waits for work far longer than the test may take."""
    thread = threading.Thread(target=hospital.queue.wait_for_work, args=[kind, 3600], daemon=True)
    thread.start()
    asked_when_due = "%min(%due_at)%WHERE state = 'scheduled' AND kind%"
    while (
        hospital.rows(_LISTENING, asked_when_due) == [(0,)]
        or hospital.rows(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE %s",
            asked_when_due,
        )
        != []
    ):
        pass
    return thread


@pytest.fixture(autouse=True)
def without_safety_net(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the polling away, so that only the signal can wake the waiting thread."""
    monkeypatch.setattr(work_signal, "_SAFETY_NET_S", 3600.0)


def test_settling_a_study_wakes_a_waiting_worker(hospital: Any) -> None:
    """The worker returns although its own timeout is an hour."""
    hospital.install()
    worker = _waiting(hospital, JobKind.INFERENCE)

    hospital.stable_study()
    worker.join()

    assert hospital.claimed().attempt == 1


def test_a_new_result_wakes_the_sender_and_not_the_worker(hospital: Any) -> None:
    """Each kind of work has its own signal."""
    hospital.install()
    sender = _waiting(hospital, JobKind.DELIVERY)

    hospital.stable_study()
    assert sender.is_alive()
    arrivals = [hospital.arrival("1.9")]
    hospital.receive(*arrivals)
    hospital.settle()
    jobs = [hospital.claimed() for _ in range(2)]
    hospital.queue.complete_analysed(jobs[1], hospital.result(arrivals), ["pacs"])
    sender.join()

    assert hospital.claimed(JobKind.DELIVERY).destination == "pacs"


def test_a_job_that_is_already_due_does_not_let_a_worker_wait(hospital: Any) -> None:
    """Work that was scheduled before anybody listened is found at once."""
    hospital.install()
    hospital.stable_study()

    hospital.queue.wait_for_work(JobKind.INFERENCE, 3600)

    assert hospital.claimed().attempt == 1


def test_a_job_due_later_wakes_its_worker_when_it_is_due(hospital: Any) -> None:
    """A retry with a delay needs no second notification."""
    hospital.install()
    hospital.stable_study()
    hospital.queue.retry(hospital.claimed(), Reason("trouble", "Trouble."), timedelta(milliseconds=300))

    while (job := hospital.queue.claim(JobKind.INFERENCE, "worker")) is None:
        hospital.queue.wait_for_work(JobKind.INFERENCE, 3600)

    assert job.attempt == 2


def test_the_signal_comes_back_after_its_connection_was_cut(hospital: Any) -> None:
    """A worker whose listening connection died returns, listens again and is woken."""
    hospital.install()
    worker = _waiting(hospital, JobKind.INFERENCE)
    hospital.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    worker.join()

    worker = _waiting(hospital, JobKind.INFERENCE)
    hospital.stable_study()
    worker.join()

    assert hospital.claimed().attempt == 1


def test_waiting_without_a_server_returns() -> None:
    """While the server is away a wait ends by itself and raises nothing."""
    database = open_database("postgresql://nobody@127.0.0.1:1/nothing", "test")

    WorkSignal(database).wait(JobKind.INFERENCE, 0.01)
