"""The worker process: wire the adapters and work until told to stop."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from inference.conclusion import NotAnalysed
from inference.evidence.result_uids import USUAL_NAMING, SeriesNaming
from inference.lanes import SignsOfLife, run_lanes
from inference.model_child.messages import Analysis, Telling
from inference.model_child.places import places
from inference.model_child.process import ModelChild, Seat
from inference.settings import WorkerSettings
from inference.worker import Duty, Worker
from storage.domain.job import ClaimedJob, JobKind
from storage.domain.result import EvidenceForm, NewResult
from storage.domain.route import Routes
from storage.domain.viewer_profile import ViewerProfile, wanted_forms
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.site_secret import site_secret
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_catalog import PostgresStudyCatalog
from storage.settings import JobSettings

_LOG = logging.getLogger(__name__)


def work(
    worker: WorkerSettings,
    *,
    data_dir: Path,
    database_url: str,
    jobs: JobSettings,
    destinations: Mapping[str, ViewerProfile],
    routes: Routes | None = None,
    naming: SeriesNaming = USUAL_NAMING,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Run inference jobs, and tell of those without a result, until SIGTERM or SIGINT; return the exit status.

    ``destinations`` are the profiles of the destinations by their names, ``naming`` is how the site calls the series of
    results. ``alive`` is called each time the
    loop goes round, and while an analysis is watched.

    Raises:
        DeviceUnavailable: a device asked for is not there.
        ModelChildNotStarted: the process that runs models does not come up.
    """
    name = f"worker {socket.gethostname()}:{os.getpid()}"
    folder = DataFolder(data_dir)
    secret = site_secret(folder)
    objects = ObjectStore(folder)
    database = open_database(database_url, "overread work")
    studies = PostgresStudyCatalog(database, objects)
    algorithms = PostgresAlgorithmCatalog(database)
    wanted = wanted_forms(destinations.values())
    # Who is told that an earlier result is no longer to be used; what nobody of them has, nobody needs to reject.
    told = {name for name, profile in destinations.items() if EvidenceForm.REJECTION_NOTE in profile.forms}
    children = [ModelChild(place.settings, place.limits, worker.jobs_at_once) for place in places(worker)]
    seats = [seat for child in children for seat in child.seats]
    # One queue each: a queue waits for work on a connection of its own.
    queues = [PostgresJobQueue(database, objects, jobs, routes) for _ in seats]
    signs = SignsOfLife(len(seats))

    def duties(queue: PostgresJobQueue, seat: Seat) -> dict[JobKind, Duty]:
        def tell_job(job: ClaimedJob) -> NewResult | NotAnalysed:
            algorithm = algorithms.find(job.algorithm_name, job.algorithm_version)
            study = studies.received(job.study_instance_uid, job.revision)
            telling = Telling(study, queue.ended_inference(job), algorithm, secret, naming)
            return seat.ask(telling, alone=job.child_deaths > 0)

        def analyse_job(job: ClaimedJob) -> NewResult | NotAnalysed:
            algorithm = algorithms.find(job.algorithm_name, job.algorithm_version)
            study = studies.stable_study(job.study_instance_uid, job.revision)
            # Of a shadow only the findings are kept, so no further form is made of them.
            forms = frozenset[EvidenceForm]() if job.shadow else wanted
            beside = queue.active_outline(job) if job.shadow else None
            earlier = () if job.shadow else tuple(one.sent_to(told) for one in queue.earlier_results(job))
            analysis = Analysis(study, algorithm, job.started_at, secret, forms, naming, beside=beside, earlier=earlier)
            return seat.ask(analysis, alone=job.child_deaths > 0)

        # Notices first: one takes no time, and would wait for ever where studies never end.
        return {JobKind.NOTICE: tell_job, JobKind.INFERENCE: analyse_job}

    workers = [
        Worker(
            *(queue, name, duties(queue, seat), tuple(destinations), jobs.lease_seconds),
            alive=signs.of(number),
            interrupt=seat.interrupt,
        )
        for number, (queue, seat) in enumerate(zip(queues, seats, strict=True))
    ]
    with _stop_on_signals() as stop:
        try:
            _start(children)
            _LOG.info("%s: ready, studies at a time: %d", name, len(seats))
            run_lanes(workers, signs, stop, alive)
        finally:
            for child in children:
                child.end()
            for queue in queues:
                queue.close()
            database.close()
    _LOG.info("%s: stopped", name)
    return 0


def _start(children: Sequence[ModelChild]) -> None:
    with ThreadPoolExecutor(len(children)) as together:
        for started in [together.submit(child.start) for child in children]:
            started.result()


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; outside the main thread nobody sets it but the caller."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
