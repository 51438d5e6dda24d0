"""The delivery process: sends results to their destinations until it is told to stop."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.proof.prover import proving
from listener.scu.proof.ways import inquiries
from listener.scu.store import StoreScu
from listener.scu.study_count import counting
from listener.settings import DestinationSettings
from storage.domain.job import JobKind
from storage.domain.viewer_profile import PROFILES, ViewerProfile
from storage.errors import DatabaseUnavailable
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.ports.jobs import JobQueue
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.proof_reports import take_report
from storage.postgres.proof_rows import PostgresProofs
from storage.postgres.study_counts import PostgresStudyCounts
from storage.settings import JobSettings

_LOG = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0  # to finish the job in hand before its association is cut
_WAIT_SECONDS = 1.0  # a safety net, and how soon a stop is noticed; new work wakes us at once
_DATABASE_PAUSE_SECONDS = 1.0


def deliver(
    destinations: tuple[DestinationSettings, ...],
    *,
    ae_title: str,
    data_dir: Path,
    database_url: str,
    jobs: JobSettings,
    profiles: Mapping[str, ViewerProfile] = PROFILES,
    counted: Collection[str] = (),
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Deliver until SIGTERM or SIGINT; the job in hand is finished within a grace or given back. Returns 0.

    ``profiles`` are all that a destination may name, ``counted`` the names of those that are asked how many instances
    of a study they have. ``alive`` is called each time the loop goes round, and while a
    destination is being sent to.

    While the database is away nothing is claimed; delivery goes on by itself when it is back.
    """
    # Each failure is told once, in our words; the library's may repeat what a peer sent.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    stop = _StopSignal()
    database = open_database(database_url, "overread deliver")
    try:
        store = ObjectStore(DataFolder(data_dir))
        queue = PostgresJobQueue(database, store, jobs)
        worker = DeliveryWorker(
            queue,
            PostgresDeliveryLog(database, store),
            {destination.name: destination for destination in destinations},
            StoreScu(ae_title, profiles=profiles),
            jobs,
            f"delivery {socket.gethostname()}:{os.getpid()}",
            stop.is_overdue,
            alive,
        )
        _LOG.info("delivering to %d destination(s)", len(destinations))
        with (
            proving(PostgresProofs(database), destinations, inquiries(ae_title, partial(take_report, database))),
            counting(PostgresStudyCounts(database), ae_title, destinations, counted),
        ):
            run(worker, queue, stop.is_given, alive)
        queue.close()
    finally:
        database.close()
    return 0


def run(
    worker: DeliveryWorker, queue: JobQueue, stopped: Callable[[], bool], alive: Callable[[], None] = lambda: None
) -> None:
    """Deliver what is due and wait for more until ``stopped``; one log line when the database goes or returns."""
    database_away = False
    while not stopped():
        alive()
        try:
            delivered = worker.deliver_one()
            if database_away:
                database_away = False
                _LOG.info("the database is back and delivery goes on")
            if not delivered:
                queue.wait_for_work(JobKind.DELIVERY, _WAIT_SECONDS)
        except DatabaseUnavailable as error:
            if not database_away and not stopped():
                database_away = True
                _LOG.warning("delivery waits: %s", error)
            time.sleep(_DATABASE_PAUSE_SECONDS)


class _StopSignal:
    """SIGTERM or SIGINT; takes no lock, because a handler may run while the main thread holds it."""

    def __init__(self) -> None:
        self._given_at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def is_given(self) -> bool:
        """Whether nothing more may be claimed."""
        return self._given_at is not None

    def is_overdue(self) -> bool:
        """Whether the grace for the job in hand is over."""
        return self._given_at is not None and time.monotonic() - self._given_at > _GRACE_SECONDS

    def _note(self, *_: object) -> None:
        if self._given_at is None:
            self._given_at = time.monotonic()
