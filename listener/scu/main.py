"""The delivery process: sends results to their destinations until it is told to stop."""

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from listener.notify.lane import notifying
from listener.notify.senders import sender_of
from listener.notify.settings import NotifySettings
from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.lane import Lane, watch
from listener.scu.pace import Pace
from listener.scu.pausing import Pausing
from listener.scu.proof.prover import proving
from listener.scu.proof.ways import inquiries
from listener.scu.senders import probe_of, probe_seconds, sender_for
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from listener.scu.study_count import counting
from storage.domain.job import JobKind
from storage.domain.viewer_profile import PROFILES, ViewerProfile
from storage.errors import DatabaseUnavailable
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.delivery_log import PostgresDeliveryLog
from storage.postgres.engine import Database, open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.lane_rows import PostgresLanes
from storage.postgres.notification_rows import PostgresNotifications
from storage.postgres.proof_reports import take_report
from storage.postgres.proof_rows import PostgresProofs
from storage.postgres.study_counts import PostgresStudyCounts
from storage.settings import JobSettings

_LOG = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0  # to finish the jobs in hand before their associations are cut
_WAIT_SECONDS = 1.0  # a safety net, and how soon a stop is noticed; new work wakes us at once
_STRAY_SECONDS = 10.0  # between looks for deliveries to destinations that the settings do not name


def deliver(
    destinations: tuple[DestinationSettings, ...],
    *,
    ae_title: str,
    data_dir: Path,
    database_url: str,
    jobs: JobSettings,
    profiles: Mapping[str, ViewerProfile] = PROFILES,
    counted: Collection[str] = (),
    receivers: Sequence[NotifySettings] = (),
    beside: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Deliver until SIGTERM or SIGINT; jobs in hand are finished within a grace or given back. Returns 0.

    Each destination has a lane of its own, so that none waits for another. ``profiles`` are all that a destination may
    name, ``counted`` the names of those that are asked how many instances of a study they have. ``receivers``
    are told of results. ``beside`` runs with it, on the database of this URL. ``alive`` is called as long as every
    lane goes round.

    While the database is away nothing is claimed; delivery goes on by itself when it is back.
    """
    # Each failure is told once, in our words; the library's may repeat what a peer sent.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    stop = _StopSignal()
    database = open_database(database_url, "overread deliver", connections_wanted(destinations, len(receivers)))
    try:
        site = _Site(database, ObjectStore(DataFolder(data_dir)), jobs, ae_title, profiles, stop)
        _LOG.info("delivering to %d destination(s)", len(destinations))
        with contextlib.suppress(DatabaseUnavailable):  # a pause ends by itself, too
            PostgresLanes(database).start([each.name for each in destinations])
        with (
            proving(PostgresProofs(database), destinations, inquiries(ae_title, partial(take_report, database))),
            counting(PostgresStudyCounts(database), ae_title, destinations, counted),
            notifying(PostgresNotifications(database), receivers, sender_of),
            beside(database_url),
            _lanes(site, destinations) as lanes,
        ):
            watch(lanes, alive)
    finally:
        database.close()
    return 0


def connections_wanted(destinations: Sequence[DestinationSettings], receivers: int = 0) -> int:
    """How many transactions may run at once, so that no lane waits for another's.

    Each lane and its heartbeat, the prover and the counter of each destination, each receiver of
    notifications, the lane for what is for none, and the start.
    """
    lanes = sum(each.associations for each in destinations)
    return 2 * lanes + 2 * len(destinations) + receivers + 3


@dataclass(frozen=True)
class _Site:
    """What all lanes share."""

    database: Database
    store: ObjectStore
    jobs: JobSettings
    ae_title: str
    profiles: Mapping[str, ViewerProfile]
    stop: "_StopSignal"


@contextmanager
def _lanes(site: _Site, destinations: Sequence[DestinationSettings]) -> Iterator[list[Lane]]:
    """Running lanes for each destination, as many as it takes associations, and one that gives up what is for none."""
    paces = [Pace(each.most_objects_per_second, each.most_mib_per_second) for each in destinations]
    served = [(each, pace) for each, pace in zip(destinations, paces, strict=True) for _ in range(each.associations)]
    # A queue for each lane: it holds the connection that wakes the lane, and lanes must not wait for each other.
    queues = [PostgresJobQueue(site.database, site.store, site.jobs) for _ in range(len(served) + 1)]
    lanes = [_lane(site, queue, each, pace) for queue, (each, pace) in zip(queues, served, strict=False)]
    lanes.append(_stray_lane(site, queues[-1], destinations))
    yield lanes
    for queue in queues:
        queue.close()


def _lane(site: _Site, queue: PostgresJobQueue, place: DestinationSettings, pace: Pace) -> Lane:
    lane = Lane(place.name)
    pausing = _pausing(site, place, lane)
    worker = DeliveryWorker(
        queue,
        PostgresDeliveryLog(site.database, site.store),
        {place.name: place},
        sender_for(place, site.ae_title, site.profiles, pace),
        site.jobs,
        _worker_name(),
        site.stop.is_overdue,
        lane.note,
        partial(queue.claim_delivery, destination=place.name),
        pausing.note,
    )
    wait = partial(queue.wait_for_work, JobKind.DELIVERY, _WAIT_SECONDS, place.name)
    lane.start(worker, wait, site.stop.is_given, pausing.holds)
    return lane


def _pausing(site: _Site, place: DestinationSettings, lane: Lane) -> Pausing:
    def stopped() -> bool:
        lane.note()  # a destination that says nothing is waited for
        return site.stop.is_given()

    probe = probe_of(place, site.ae_title, stopped)
    return Pausing(PostgresLanes(site.database), place.name, place.pause_policy(), probe, probe_seconds(place))


def _stray_lane(site: _Site, queue: PostgresJobQueue, destinations: Sequence[DestinationSettings]) -> Lane:
    lane = Lane("destinations that are not configured")
    worker = DeliveryWorker(
        queue,
        PostgresDeliveryLog(site.database, site.store),
        {},
        StoreScu(site.ae_title, profiles=site.profiles),
        site.jobs,
        _worker_name(),
        site.stop.is_overdue,
        lane.note,
        partial(queue.claim_stray_delivery, known=[each.name for each in destinations]),
    )
    lane.start(worker, lambda: site.stop.wait(_STRAY_SECONDS), site.stop.is_given)
    return lane


def _worker_name() -> str:
    return f"delivery {socket.gethostname()}:{os.getpid()}"


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
        """Whether the grace for the jobs in hand is over."""
        return self._given_at is not None and time.monotonic() - self._given_at > _GRACE_SECONDS

    def wait(self, seconds: float) -> None:
        """Return when it is given, at the latest after so long."""
        until = time.monotonic() + seconds
        while not self.is_given() and time.monotonic() < until:
            time.sleep(min(seconds, _WAIT_SECONDS))

    def _note(self, *_: object) -> None:
        if self._given_at is None:
            self._given_at = time.monotonic()
