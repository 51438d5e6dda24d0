"""The worker process: wire the adapters and work until told to stop."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pydicom

from inference.algorithms.engine import wanted_providers
from inference.evidence.result_uids import USUAL_NAMING, SeriesNaming
from inference.notice import identity_of, tell
from inference.pipeline import NotAnalysed, analyse
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from inference.worker import Worker
from storage.domain.job import ClaimedJob, JobKind
from storage.domain.result import EvidenceForm, NewResult
from storage.domain.route import Route, Routes
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
    routes: Iterable[Route] = (),
    naming: SeriesNaming = USUAL_NAMING,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Run inference jobs, and tell of those without a result, until SIGTERM or SIGINT; return the exit status.

    ``destinations`` are the profiles of the destinations by their names, ``naming`` is how the site calls the series of
    results. ``alive`` is called each time the
    loop goes round, and while an analysis is watched.

    Raises:
        DeviceUnavailable: the device asked for is not there.
    """
    _require_device(worker)
    _keep_received_values_out_of_logs()
    name = f"worker {socket.gethostname()}:{os.getpid()}"
    folder = DataFolder(data_dir)
    secret = site_secret(folder)
    objects = ObjectStore(folder)
    database = open_database(database_url, "overread work")
    queue = PostgresJobQueue(database, objects, jobs, Routes(routes))
    studies = PostgresStudyCatalog(database, objects)
    algorithms = PostgresAlgorithmCatalog(database)
    resident = ResidentAlgorithms(worker)
    wanted = wanted_forms(destinations.values())

    def tell_job(job: ClaimedJob) -> NewResult:
        algorithm = identity_of(algorithms.find(job.algorithm_name, job.algorithm_version))
        study = studies.received(job.study_instance_uid, job.revision)
        return tell(study, queue.ended_inference(job), algorithm, secret, naming)

    def analyse_job(job: ClaimedJob) -> NewResult | NotAnalysed:
        ready = resident.ready(algorithms.find(job.algorithm_name, job.algorithm_version))
        study = studies.stable_study(job.study_instance_uid, job.revision)
        # Of a shadow only the findings are kept, so no further form is made of them.
        forms = frozenset[EvidenceForm]() if job.shadow else wanted
        return analyse(study, ready, job.started_at, secret, forms, naming)

    # Notices first: one takes no time, and would wait for ever where studies never end.
    duties = {JobKind.NOTICE: tell_job, JobKind.INFERENCE: analyse_job}
    with _stop_on_signals() as stop:
        _LOG.info("%s: ready", name)
        try:
            Worker(queue, name, duties, tuple(destinations), jobs.lease_seconds, alive).run(stop)
        finally:
            queue.close()
            database.close()
    _LOG.info("%s: stopped", name)
    return 0


def _require_device(worker: WorkerSettings) -> None:
    # Imported here, as in the engine: importing this module must stay cheap for the command line.
    import onnxruntime

    wanted_providers(worker.device, onnxruntime.get_available_providers())


def _keep_received_values_out_of_logs() -> None:
    """pydicom and highdicom repeat odd values, such as a patient's name, in their warnings and log lines.

    A warning is told where it was called, which may be in any library, so all of them go to a logger that is silent.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)
    told = logging.getLogger("py.warnings")
    told.handlers, told.propagate = [logging.NullHandler()], False


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
