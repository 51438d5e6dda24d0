"""The listener's process: wires the door to the spool, serves until it is told to stop."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from listener.scp.acceptor import Acceptor
from listener.scp.association_policy import AssociationPolicy
from listener.scp.store import StoreHandler
from listener.settings import ListenerSettings, check_listener_settings
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import SchemaOutdated, StorageError
from storage.importer import SpoolImporter
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.postgres import schema
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import open_database
from storage.settings import SpoolSettings

log = logging.getLogger(__name__)

_ACTOR = "listener"
_AUDIT_RETRY_SECONDS = 5.0
_SCHEMA_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 0.5


def serve(
    listener: ListenerSettings,
    *,
    data_dir: Path,
    database_url: str,
    spool: SpoolSettings,
    announce: Callable[[int], None] | None = None,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Receive until SIGTERM or SIGINT and return the exit status; ``announce`` is told the port once we listen.

    ``alive`` is called each time the accept loop goes round.

    The database may be away at any time, also at the start: what is received waits in the spool.

    Raises:
        ListenerError: the settings are not safe, or the port cannot be had.
        OSError: the data folder cannot be made.
    """
    check_listener_settings(listener)
    stop, quiet, wake, importing = (threading.Event() for _ in range(4))
    folder = DataFolder(data_dir)
    file_spool = FileSpool(folder, spool)  # sweeps what a crash left
    database = open_database(database_url, "overread listener")  # connects when it is first used
    importer = SpoolImporter(file_spool, ObjectStore(folder), PostgresArrivalLog(database))
    trail = PostgresAuditTrail(database)
    acceptor = Acceptor(
        listener, AssociationPolicy(listener), StoreHandler(file_spool, wake.set), alive, file_spool.require_room
    )
    threads = [
        threading.Thread(target=_import, args=(importer, database_url, quiet, wake, importing), name="importer"),
        threading.Thread(target=_record_when_possible, args=(trail, AuditAction.APPLICATION_STARTED, quiet)),
    ]
    with _stopped_by_signals(stop):
        acceptor.start()
        for thread in threads:
            thread.start()
        log.info("Listening on %s port %d as %s.", listener.host, acceptor.port, listener.ae_title)
        if announce is not None:
            announce(acceptor.port)
        while not stop.wait(_LOOK_SECONDS):  # one without end may sleep through a signal that another thread takes
            pass
        acceptor.stop()
        quiet.set()
        wake.set()
        for thread in threads:
            thread.join()
    if importing.is_set():
        _finish(importer, trail)
    database.close()
    file_spool.close()
    return 0


def _import(
    importer: SpoolImporter, url: str, stop: threading.Event, wake: threading.Event, importing: threading.Event
) -> None:
    """Import once the database has this release's schema; until then what is received waits in the spool."""
    told = False
    while not stop.is_set():
        try:
            if schema.wait_until_current(url, stop):
                importing.set()
                importer.run(stop, wake)
        except SchemaOutdated as error:
            if not told:
                log.error("%s Received instances wait in the spool.", error)
            told = True
            stop.wait(_SCHEMA_PAUSE_SECONDS)


def _finish(importer: SpoolImporter, trail: PostgresAuditTrail) -> None:
    """Import the last notes if the database is there; if not, the next start does."""
    with contextlib.suppress(StorageError, OSError):
        importer.import_pending()
        trail.record(AuditEvent(AuditAction.APPLICATION_STOPPED, _ACTOR))


def _record_when_possible(trail: PostgresAuditTrail, action: AuditAction, stop: threading.Event) -> None:
    """Write an audit row as soon as the database is there."""
    while not stop.is_set():
        try:
            trail.record(AuditEvent(action, _ACTOR))
        except StorageError:
            stop.wait(_AUDIT_RETRY_SECONDS)
        else:
            return


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set ``stop``; a thread cannot take signals, its process decides then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
