"""The housekeeper: wakes the duties every second, on one machine at a time, whatever the database does."""

import logging
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from storage.domain.route import Routes
from storage.errors import DatabaseUnavailable, StorageError
from storage.housekeeping.anchor_audit import anchor_audit
from storage.housekeeping.forget_compiled import forget_compiled
from storage.housekeeping.forget_questions import forget_questions
from storage.housekeeping.leadership import Leadership
from storage.housekeeping.perform_workitems import forget_workitems, perform_workitems
from storage.housekeeping.rescue_leases import rescue_leases
from storage.housekeeping.settle_studies import settle_studies
from storage.housekeeping.tell_refused_reports import tell_refused_reports
from storage.housekeeping.wall_clock import Every, WallClock
from storage.housekeeping.watch_drift import watch_drift
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres import schema
from storage.postgres.completeness_rows import GeometrySeen, forget_old_claims
from storage.postgres.engine import Database, open_database
from storage.settings import AuditSettings, JobSettings, MonitoringSettings, StudySettings
from storage.workitem_settings import WorkitemSettings

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_EVERY_SECONDS = 1
_SETTLE_SECONDS = 0.2  # what a study waits beyond its quiet time, at most; one look at an index
_COMPILED_SECONDS = 3600
_FORGET_SECONDS = 3600
_TELL_SECONDS = 300
_ANCHOR = "anchor the audit trail"


class _House:
    """Runs a duty if this process holds the lock, and tells once when it begins to fail and once when it is back."""

    def __init__(self, database: Database, alive: Callable[[], None] = lambda: None) -> None:
        self._alive = alive
        self._leadership = Leadership(database)
        self._one_at_a_time = threading.Lock()
        self._away = False
        self._leaving = False
        self._failing: set[str] = set()

    def tend(self, name: str, duty: Callable[[], int]) -> None:
        """Do the duty now; where the database is away or refuses it, leave it for the next time."""
        with self._one_at_a_time:
            if self._leads():
                self._do(name, duty)
            self._alive()

    def _leads(self) -> bool:
        try:
            leads = self._leadership.held()
        except StorageError as error:
            if not self._away and not self._leaving:
                _LOG.warning("housekeeping waits: %s", error)
            self._away = True
            return False
        if self._away:
            _LOG.info("the database answers again; housekeeping goes on")
        self._away = False
        return leads

    def _do(self, name: str, duty: Callable[[], int]) -> None:
        try:
            duty()
        except StorageError as error:
            if self._leaving and isinstance(error, DatabaseUnavailable):
                _LOG.info("the database ended first; the housekeeper will %s after the next start", name)
            elif name not in self._failing:
                _LOG.warning("the housekeeper cannot %s and keeps trying: %s", name, error)
            self._failing.add(name)
        else:
            if name in self._failing:
                _LOG.info("the housekeeper can %s again", name)
            self._failing.discard(name)

    def leaves(self) -> None:
        """From now on a database that is away is none to be waited for: it was told to stop as well."""
        self._leaving = True

    def leave(self, name: str, duty: Callable[[], int]) -> None:
        """Do one duty for the last time, if the database is still there, and let another housekeeper act."""
        self.tend(name, duty)
        with self._one_at_a_time:
            self._leadership.release()


def keep_house(
    *,
    data_dir: Path,
    database_url: str,
    study: StudySettings,
    jobs: JobSettings,
    audit: AuditSettings,
    routes: Routes | None = None,
    monitoring: MonitoringSettings | None = None,
    workitems: WorkitemSettings | None = None,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Settle studies, rescue leases, anchor the audit trail, watch for drift and tidy up; return the exit status.

    It lasts until SIGTERM or SIGINT, and must be called from the main thread, which receives them. Under ``data_dir``
    the checkpoints of the audit trail are kept; what else is to be done is always a row. ``alive`` is called after each
    turn, also while the database is away.

    Raises:
        SchemaOutdated: the database needs another release or `overread db upgrade`.
    """
    try:
        schema.check(database_url)
    except DatabaseUnavailable:
        _LOG.warning("the database does not answer yet; housekeeping starts when it does")
    stop, clock = threading.Event(), WallClock()
    database = open_database(database_url, "overread housekeeper")
    house = _House(database, alive)
    anchor = partial(anchor_audit, database, CheckpointFile(data_dir))
    watched = monitoring or MonitoringSettings()
    worklist = workitems or WorkitemSettings()
    of_worklist = {
        "perform workitems": (partial(perform_workitems, database, worklist), _EVERY_SECONDS),
        "remove old workitems": (partial(forget_workitems, database, worklist), _TELL_SECONDS),
    }
    scheduler = _scheduler(
        house,
        (of_worklist if worklist.enabled else {})
        | {
            "settle studies": (
                partial(settle_studies, database, study.patience(), routes, GeometrySeen()),
                _SETTLE_SECONDS,
            ),
            "rescue leases": (partial(rescue_leases, database, jobs), _EVERY_SECONDS),
            _ANCHOR: (anchor, audit.checkpoint_seconds),
            "remove what was compiled": (partial(forget_compiled, database, data_dir), _COMPILED_SECONDS),
            "forget what peers said long ago": (partial(forget_old_claims, database), _FORGET_SECONDS),
            "forget questions of long ago": (partial(forget_questions, database), _FORGET_SECONDS),
            "tell of reports that were not believed": (partial(tell_refused_reports, database), _TELL_SECONDS),
            "watch for drift": (partial(watch_drift, database, watched), watched.look_minutes * 60),
        },
    )
    before = {number: signal.signal(number, _setting(stop)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        scheduler.start()
        _LOG.info("keeping house for %s", data_dir)
        while not stop.wait(_LOOK_SECONDS):  # one without end may sleep through a signal that another thread takes
            if clock.has_jumped():
                _do_all_now(scheduler)
    finally:
        house.leaves()
        if scheduler.running:
            scheduler.shutdown(wait=True)
        house.leave(_ANCHOR, anchor)
        database.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _scheduler(house: _House, duties: dict[str, tuple[Callable[[], int], float]]) -> BackgroundScheduler:
    # Its own chatter is a line per duty and second; what a duty raises is still logged, at the level of an error.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(2)},
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        timezone="UTC",
    )
    for name, (duty, seconds) in duties.items():
        scheduler.add_job(house.tend, Every(seconds), [name, duty])
    return scheduler


def _do_all_now(scheduler: BackgroundScheduler) -> None:
    """What was due at a time that the clock has left is due now, and from here on as usual."""
    for job in scheduler.get_jobs():
        job.modify(next_run_time=datetime.now(UTC))


def _setting(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return handler
