"""Several studies in one child at a time: they overlap, and what one of them does costs no other one anything."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.result_uids import USUAL_NAMING
from inference.lanes import SignsOfLife, run_lanes
from inference.model_child.messages import Analysis
from inference.model_child.process import ChildLimits, ModelChild, Seat
from inference.settings import WorkerSettings
from inference.stages import WAIT
from inference.worker import Worker
from storage.domain.job import ClaimedJob, JobKind
from storage.domain.job_statistics import Stage
from storage.domain.result import NewResult
from storage.postgres.job_queue import PostgresJobQueue
from tests.integration.inference.conftest import Site
from tests.integration.inference.small_studies import POISON, USUAL, jobs, receive
from tests.peers import hostile_networks
from tests.peers.tiny_algorithm import manifest_with, write_tiny_algorithm

_ROOMY = ChildLimits(4 * 2**30, 120)
_INNOCENT = ("completed", None, 1, 0)


@contextlib.contextmanager
def _child(limits: ChildLimits = _ROOMY) -> Iterator[ModelChild]:
    child = ModelChild(WorkerSettings(device="cpu", threads=1), limits, jobs_at_once=2)
    try:
        child.start()
        yield child
    finally:
        child.end()


@contextlib.contextmanager
def _lanes(site: Site, child: ModelChild) -> Iterator[None]:
    """A worker for each seat of the child, each with a queue of its own, as the service has them."""
    stop = threading.Event()
    queues = [PostgresJobQueue(site.database, site.objects, site.jobs) for _ in child.seats]

    def lane(queue: PostgresJobQueue, seat: Seat) -> Worker:
        def analyse(job: ClaimedJob) -> object:
            algorithm = site.algorithms.find(job.algorithm_name, job.algorithm_version)
            study = site.studies.stable_study(job.study_instance_uid, job.revision)
            request = Analysis(study, algorithm, job.started_at, b"s" * 32, DEFAULT_FORMS, USUAL_NAMING)
            return seat.ask(request, alone=job.child_deaths > 0)

        duties = {JobKind.INFERENCE: analyse}
        return Worker(queue, "worker test:1", duties, ["pacs"], site.jobs.lease_seconds, interrupt=seat.interrupt)

    workers = [lane(queue, seat) for queue, seat in zip(queues, child.seats, strict=True)]
    thread = threading.Thread(target=run_lanes, args=(workers, SignsOfLife(len(workers)), stop, lambda: None))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        for queue in queues:
            queue.close()


def _cancel(site: Site, uid: str) -> None:
    jobs = dict(site.rows("SELECT study_instance_uid, job.id FROM job JOIN study ON study.id = study_id"))
    site.queue.cancel(jobs[uid], "tests")


def _time_flies(site: Site) -> None:
    site.execute("SET session_replication_role = replica; UPDATE job SET due_at = now() WHERE state = 'scheduled'")


def _both_are_inside(child: ModelChild) -> bool:
    """One at the network, the other one with everything done that it can do before it."""
    return set(child.stages) == {Stage.INFER, WAIT}


def _install_poisonous(site: Site) -> None:
    site.install(write_tiny_algorithm(site.folder / "tiny", hostile_networks.endless_when_brighter(5000)))


def _kill(child: ModelChild) -> None:
    process = child.process_id
    assert process is not None
    os.kill(process, signal.SIGSEGV)


def test_the_next_study_is_prepared_while_one_is_at_the_network(site: Site) -> None:
    """It waits with its volume ready; when the first is canceled, a fresh child analyses it in the same attempt."""
    _install_poisonous(site)
    poison = receive(site, 1, POISON)

    with _child() as child, _lanes(site, child):
        site.wait_for(lambda: Stage.INFER in child.stages)
        other = receive(site, 2)
        site.wait_for(lambda: _both_are_inside(child))
        _cancel(site, poison)
        site.wait_for(lambda: jobs(site)[other][0] == "completed")

    assert jobs(site)[other] == _INNOCENT
    assert jobs(site)[poison][0] == "canceled"
    assert child.lost == 1


def test_a_crash_with_two_studies_inside_is_blamed_on_the_one_that_does_it_again_by_itself(site: Site) -> None:
    """Each is analysed again alone: the innocent one is completed in its first attempt, the other parked in two."""
    _install_poisonous(site)
    poison = receive(site, 1, POISON)

    with _child() as child, _lanes(site, child):
        site.wait_for(lambda: Stage.INFER in child.stages)
        other = receive(site, 2)
        site.wait_for(lambda: _both_are_inside(child))
        seat = child.stages.index(Stage.INFER)
        _kill(child)
        site.wait_for(lambda: child.lost == 1 and child.stages[seat] == Stage.INFER)
        assert child.stages[1 - seat] == ""
        _kill(child)
        site.wait_for(lambda: jobs(site)[poison] == ("scheduled", "model-child-died", 1, 1))
        site.wait_for(lambda: jobs(site)[other] == _INNOCENT)
        _time_flies(site)
        site.wait_for(lambda: Stage.INFER in child.stages)
        _kill(child)
        site.wait_for(lambda: jobs(site)[poison] == ("failed", "model-child-died", 2, 2))

    assert jobs(site)[other] == _INNOCENT
    assert child.lost == 3


def test_a_study_that_hangs_costs_its_neighbours_no_attempt(site: Site) -> None:
    """They wait, which is not counted, or are done again; the one that hangs is parked after two children."""
    _install_poisonous(site)
    poison = receive(site, 1, POISON)
    others = [receive(site, number) for number in (2, 3, 4)]

    with _child(ChildLimits(4 * 2**30, 15)) as child, _lanes(site, child):
        site.wait_for(lambda: all(jobs(site)[uid][0] == "completed" for uid in others))
        site.wait_for(lambda: jobs(site)[poison] == ("scheduled", "analysis-too-slow", 1, 1))
        _time_flies(site)
        site.wait_for(lambda: jobs(site)[poison] == ("failed", "analysis-too-slow", 2, 2))

    assert {uid: row for uid, row in jobs(site).items() if uid != poison} == dict.fromkeys(others, _INNOCENT)
    assert child.lost == 2


def test_memory_that_two_need_together_is_given_to_each_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is ended for its memory with two studies inside spends no attempt of either."""
    _install_poisonous(site)
    together = threading.Event()
    monkeypatch.setattr("inference.model_child.running.own_bytes", lambda _: 5 * 2**30 if together.is_set() else 0)
    poison = receive(site, 1, POISON)

    with _child() as child, _lanes(site, child):
        site.wait_for(lambda: Stage.INFER in child.stages)
        other = receive(site, 2)
        site.wait_for(lambda: _both_are_inside(child))
        together.set()
        site.wait_for(lambda: child.lost == 1)
        together.clear()
        site.wait_for(lambda: sorted(child.stages) == ["", Stage.INFER])
        _cancel(site, poison)
        site.wait_for(lambda: jobs(site)[other] == _INNOCENT)

    assert jobs(site)[poison][2:] == (1, 0)


def test_a_study_that_fails_for_want_of_memory_leaves_its_neighbour_its_result(site: Site) -> None:
    """Of two algorithms one asks for more than there is: it is parked in two attempts, the other has a result."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    identity = manifest_with()["identity"] | {"name": "eater"}
    site.install(write_tiny_algorithm(site.folder / "eater", hostile_networks.eating_at_once(8), identity=identity))
    receive(site, 1)

    with _child(ChildLimits(2 * 2**30, 120)) as child, _lanes(site, child):
        jobs = "SELECT algorithm_name, job.state, reason_code, attempt, child_deaths FROM job WHERE kind = 'inference'"
        jobs = jobs.replace("algorithm_name", "(SELECT name FROM algorithm WHERE algorithm.id = algorithm_id)")
        site.wait_for(lambda: ("eater", "scheduled", "out-of-memory", 1, 1) in site.rows(jobs))
        _time_flies(site)
        site.wait_for(lambda: ("eater", "failed", "out-of-memory", 2, 2) in site.rows(jobs))
        site.wait_for(lambda: ("tiny", *_INNOCENT) in site.rows(jobs))


def test_studies_side_by_side_get_the_bytes_that_they_get_one_by_one(site: Site) -> None:
    """Of ten studies every object is the same, whether two are in the child at a time or one."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    registered = site.algorithms.find("tiny", "1.0")
    started = datetime(2026, 1, 2, tzinfo=UTC)

    def request(number: int) -> Analysis:
        uid = receive(site, number + 1, np.roll(USUAL, number % 3, axis=0))
        return Analysis(site.studies.stable_study(uid, 1), registered, started, b"s" * 32, DEFAULT_FORMS, USUAL_NAMING)

    requests = [request(number) for number in range(10)]
    together: dict[int, list[bytes]] = {}
    most_inside = 0
    with _child() as child:
        one_by_one = [_objects(child.seats[0], one) for one in requests]

        def take(seat: Seat) -> None:
            for number in range(seat.number, len(requests), 2):
                together[number] = _objects(seat, requests[number])

        threads = [threading.Thread(target=take, args=(seat,)) for seat in child.seats]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most_inside = max(most_inside, sum(map(bool, child.stages)))
            threads[0].join(0.005)

    assert most_inside == 2
    assert [together[number] for number in range(len(requests))] == one_by_one


def _objects(seat: Seat, request: Analysis) -> list[bytes]:
    result = seat.ask(request)
    assert isinstance(result, NewResult)
    assert result.evidence
    return [one.part10 for one in result.evidence]


_WORKER = """
import sys
from pathlib import Path
from inference.main import work
from inference.settings import WorkerSettings
from storage.settings import JobSettings
work(
    WorkerSettings(device="cpu", children=2, jobs_at_once=1, memory_gib=2),
    data_dir=Path(sys.argv[1]),
    database_url=sys.argv[2],
    jobs=JobSettings(lease_seconds=5),
    destinations={},
)
"""


def test_two_children_share_the_queue(site: Site) -> None:
    """While a study hangs in one, the other analyses all the rest: each study is claimed once and has one result."""
    _install_poisonous(site)
    poison = receive(site, 1, POISON)
    others = [receive(site, number) for number in range(2, 8)]

    with subprocess.Popen([sys.executable, "-c", _WORKER, str(site.folder / "data"), site.url]) as worker:
        try:
            site.wait_for(lambda: all(jobs(site)[uid] == _INNOCENT for uid in others))
            assert jobs(site)[poison][0] == "in_progress"
            _cancel(site, poison)
            last = receive(site, 8)
            site.wait_for(lambda: jobs(site)[last] == _INNOCENT)
            worker.terminate()
            assert worker.wait(60) == 0
        finally:
            worker.kill()

    assert site.rows("SELECT count(*), count(DISTINCT study_id) FROM result JOIN job ON job.id = job_id") == [(7, 7)]
    assert site.rows("SELECT count(*) FROM audit_event WHERE action = 'job-claimed'") == [(8,)]
