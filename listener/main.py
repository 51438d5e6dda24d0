"""The listener's processes: a keeper that holds the port, those that receive, and one that imports."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from listener.feedback.look_out import LookOut
from listener.keeper import Child, Keeper
from listener.scp.acceptor import Acceptor, listening_socket
from listener.scp.association_policy import AssociationPolicy
from listener.scp.commitment_decision import CommitmentDecision
from listener.scp.seats import Seats, SharedSeats
from listener.scp.store import StoreHandler
from listener.scp.tls import TlsDoor
from listener.scp.toolkit_log import quiet_toolkits
from listener.scu.commitment_report import CommitmentReporter
from listener.scu.proof.report_taking import ReportTaking
from listener.settings import ListenerSettings, check_listener_settings
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.completeness import Patience
from storage.errors import DatabaseUnavailable, SchemaOutdated, StorageError
from storage.importer import SpoolImporter
from storage.objects.availability_folder import AvailabilityFolder
from storage.objects.claims import Claims
from storage.objects.commitment_folder import CommitmentFolder
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.report_folder import ReportFolder
from storage.objects.spool import FileSpool
from storage.postgres import schema
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.child_process import end_with_parent
from storage.postgres.completeness_rows import PostgresCompletenessClaims
from storage.postgres.engine import Database, open_database
from storage.postgres.held_instances import PostgresHeldInstances
from storage.postgres.proof_reports import take_report
from storage.postgres.returned_objects import PostgresReturnedObjects
from storage.settings import SpoolSettings

log = logging.getLogger(__name__)

_ACTOR = "listener"
_AUDIT_RETRY_SECONDS = 5.0
_SCHEMA_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_SILENCE_SECONDS = 10.0  # of an accept loop that goes round every half second
_COMMITMENT_SECONDS = 0.25
_COMMITMENT_GRACE = 2.0
_NICENESS = 5  # of the importer: receiving comes first


@dataclass(frozen=True, slots=True)
class _Place:
    """Where everything is, for all processes."""

    listener: ListenerSettings
    folder: DataFolder
    database_url: str
    spool: SpoolSettings
    patience: Patience


def serve(
    listener: ListenerSettings,
    *,
    data_dir: Path,
    database_url: str,
    spool: SpoolSettings,
    patience: Patience,
    announce: Callable[[int], None] | None = None,
    alive: Callable[[], None] = lambda: None,
) -> int:
    """Receive until SIGTERM or SIGINT and return the exit status; ``announce`` is told the port once we listen.

    ``alive`` is called again and again as long as the accept loop of each process goes round. To be called from a
    process without threads: others are forked from it.

    The database may be away at any time, also at the start: what is received waits in the spool.

    Raises:
        ListenerError: the settings are not safe, or the port cannot be had.
        StorageError: the spool cannot be used.
        OSError: the data folder cannot be made.
    """
    check_listener_settings(listener)
    if listener.tls_certificate:
        TlsDoor(listener)  # this and the next but one tell now what each process would run into
    place = _Place(listener, DataFolder(data_dir), database_url, spool, patience)
    FileSpool(place.folder, spool).close()
    listening = listening_socket(listener.host, listener.port)
    seats = SharedSeats(listener.processes, listener.max_associations)
    receivers = [
        Child(f"receiver {number}", partial(_receive, place, listening, seats, number), partial(seats.wipe, number))
        for number in range(listener.processes)
    ]

    def started() -> None:
        port = int(listening.getsockname()[1])
        log.info("Listening on %s port %d as %s.", listener.host, port, listener.ae_title)
        if announce is not None:
            announce(port)

    def still_alive() -> None:
        if seats.longest_silence() < _SILENCE_SECONDS:
            alive()

    stop = threading.Event()
    with _stopped_by_signals(stop):
        # SIGKILL: nothing in a child has to be tidied up, and the port is free at once.
        end_with_us = partial(end_with_parent, signal.SIGKILL)
        return Keeper([*receivers, Child("importer", partial(_import, place))], end_with_us).run(
            stop, alive=still_alive, started=started, ending=listening.close
        )


def _receive(place: _Place, listening: socket.socket, seats: SharedSeats, number: int, stop: threading.Event) -> int:
    """Accept associations of the port that all receivers share."""
    file_spool = FileSpool(place.folder, place.spool)
    acceptor = Acceptor(
        place.listener,
        AssociationPolicy(place.listener),
        StoreHandler(file_spool),
        file_spool.require_room,
        Seats(seats, number),
        CommitmentFolder(place.folder),
        ReportFolder(place.folder),
        AvailabilityFolder(place.folder),
    )
    acceptor.serve_on(listening)
    while not stop.wait(_LOOK_SECONDS):  # one without end may sleep through a signal that another thread takes
        pass
    acceptor.stop()
    file_spool.close()
    return 0


def _import(place: _Place, stop: threading.Event) -> int:
    """Move what was received into the database, for as long as there is something to be received."""
    os.nice(_NICENESS)
    quiet, wake, importing = (threading.Event() for _ in range(3))
    file_spool = FileSpool(place.folder, place.spool)
    database = open_database(place.database_url, "overread listener")  # connects when it is first used
    importer = SpoolImporter(file_spool, ObjectStore(place.folder), PostgresArrivalLog(database))
    trail = PostgresAuditTrail(database)
    objects = ObjectStore(place.folder)
    look_out = LookOut(PostgresReturnedObjects(database), objects.verify, objects.evidence)
    threads = [
        threading.Thread(target=look_out.run, args=(quiet, importing), name="look-out"),
        threading.Thread(target=_run, args=(importer, place.database_url, quiet, wake, importing), name="importer"),
        threading.Thread(target=_record_when_possible, args=(trail, AuditAction.APPLICATION_STARTED, quiet)),
    ]
    committing = threading.Thread(target=_commit, args=(place, database, quiet), name="commitment", daemon=True)
    for thread in (*threads, committing):
        thread.start()
    while not stop.wait(_LOOK_SECONDS):
        pass
    quiet.set()
    wake.set()
    for thread in threads:
        thread.join()
    committing.join(_COMMITMENT_GRACE)  # it may be talking to a peer; what it has not told is told after the next start
    if importing.is_set():
        _finish(importer, trail)
    database.close()
    file_spool.close()
    return 0


def _run(
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


def _commit(place: _Place, database: Database, stop: threading.Event) -> None:
    """Decide on requests for storage commitment, report to peers that have left, take what we are told."""
    quiet_toolkits()
    duties = _duties(place, database)
    while not stop.wait(_COMMITMENT_SECONDS):
        for what, duty in duties.items():
            try:
                duty()
            except Exception as error:  # noqa: BLE001  the thread must outlive what nobody foresaw; it tries again
                log.error("%s failed with %s; it is tried again.", what, type(error).__name__)


def _duties(place: _Place, database: Database) -> dict[str, Callable[[], None]]:
    """What is done again and again, by what it is called in the log; one that fails holds up no other."""
    requests, reports = CommitmentFolder(place.folder), ReportFolder(place.folder)
    notices = AvailabilityFolder(place.folder)
    claims = Claims(place.folder)
    noted = PostgresCompletenessClaims(database, place.patience)
    decision = CommitmentDecision(
        requests,
        PostgresHeldInstances(database),
        lambda uid: claims.holder(uid) is not None,
        ObjectStore(place.folder).verify,
        claims=noted,
    )
    return {
        "Deciding on storage commitment": decision.decide_all,
        "Reporting storage commitment": CommitmentReporter(requests, place.listener.peers).report_all,
        "Taking reports of storage commitment": ReportTaking(
            reports, partial(take_report, database), place.listener
        ).take_all,
        "Taking notifications of availability": partial(_note_all, notices, noted),
    }


def _note_all(notices: AvailabilityFolder, noted: PostgresCompletenessClaims) -> None:
    """Write what peers notified into the database; while it is away they wait."""
    for notice_id, notice in notices.waiting():
        try:
            noted.note_available(notice_id, notice)
        except DatabaseUnavailable:
            return
        except StorageError as error:
            log.error(
                "A notification of availability from %r could not be taken (%s); it is put away, and its study waits "
                "as if it had not come.",
                *(notice.calling_ae_title, type(error).__name__),
            )
        notices.forget(notice_id)


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
