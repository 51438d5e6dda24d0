"""The web door's process: wires the application to storage, serves until it is told to stop."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastapi import APIRouter, FastAPI

from listener.errors import ListenerError
from listener.loopback import is_loopback
from listener.scp.store import StoreHandler
from listener.scp.toolkit_log import quiet_toolkits
from listener.scu.settings import DestinationSettings
from listener.web import server
from listener.web.analyze.router import AnalyzeDesk, analyze_router
from listener.web.app import create_app
from listener.web.body import BodyLimits, UploadPlaces
from listener.web.dicomweb.router import dicomweb_router
from listener.web.feedback.router import feedback_api_router
from listener.web.hardening import harden
from listener.web.login import AccountGate
from listener.web.metrics import metrics_router
from listener.web.openapi import openapi_router
from listener.web.pages.desk import Desk, DiskUse
from listener.web.pages.router import dashboard_router
from listener.web.password_check import PasswordCheck
from listener.web.pictures.pool import DecoderPool
from listener.web.program_login import ProgramLogin
from listener.web.settings import WebSettings, check_web_settings
from listener.web.throttle import Throttle
from listener.web.uploads import Uploads
from listener.web.ups.channel import channel_router
from listener.web.ups.router import ups_router
from listener.web.ups.subscriptions import subscriptions_router
from listener.web.viewer.links import ViewerLinks
from listener.web.viewer.package import ViewerPackage
from listener.web.viewer.router import viewer_router
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.completeness import Patience
from storage.domain.route import Routes
from storage.errors import StorageError
from storage.importer import SpoolImporter
from storage.objects.algorithm_card import card_text
from storage.objects.capacity import spool_usage
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.postgres import schema
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import Database, open_database
from storage.postgres.feedback_rows import PostgresFeedbackBook
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.monitoring import PostgresMonitoring
from storage.postgres.overview import Overview
from storage.postgres.session_rows import PostgresSessionStore
from storage.postgres.site_reading import PostgresSiteReading
from storage.postgres.study_index import PostgresStudyIndex
from storage.postgres.study_settlement import PostgresStudySettlement
from storage.postgres.token_rows import PostgresTokenStore
from storage.postgres.workitem_rows import PostgresWorklist
from storage.postgres.workitem_subscriptions import PostgresSubscriptions
from storage.settings import JobSettings, SpoolSettings
from storage.workitem_settings import WorkitemSettings

log = logging.getLogger(__name__)

_ACTOR = "web"


@dataclass(frozen=True, slots=True)
class Door:
    """The application with what it holds open."""

    app: FastAPI
    importer: SpoolImporter
    wake: threading.Event  # set when something new stands in the spool
    stopping: threading.Event  # to be set first at a stop; ends the streams of open pages
    trail: PostgresAuditTrail
    certificate_refused: Callable[[str], None]


def serve(
    web: WebSettings,
    *,
    data_dir: Path,
    database_url: str,
    spool: SpoolSettings,
    jobs: JobSettings,
    destinations: tuple[DestinationSettings, ...],
    routes: Routes | None = None,
    patience: Patience | None = None,
    workitems: WorkitemSettings | None = None,
    announce: Callable[[int], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status; ``announce`` is told the port once we listen.

    Raises:
        ListenerError: the settings are not safe, or the port cannot be had.
        DatabaseUnavailable: beyond loopback, whether there is an account cannot be told.
        OSError: the data folder cannot be made.
    """
    check_web_settings(web)
    quiet_toolkits()
    with open_door(
        web,
        data_dir=data_dir,
        database_url=database_url,
        spool=spool,
        jobs=jobs,
        destinations=destinations,
        routes=routes,
        patience=patience,
        workitems=workitems,
    ) as door:

        def tell(port: int) -> None:
            log.info("The web door listens on %s port %d.", web.host, port)
            with suppress(StorageError):
                door.trail.record(AuditEvent(AuditAction.APPLICATION_STARTED, _ACTOR))
            if announce is not None:
                announce(port)

        with _importing(door.importer, door.wake):
            server.run(
                harden(door.app, web),
                web,
                door.stopping,
                tell,
                door.certificate_refused,
                websockets=bool(workitems and workitems.enabled),
            )
        with suppress(StorageError):
            door.trail.record(AuditEvent(AuditAction.APPLICATION_STOPPED, _ACTOR))
    return 0


@contextmanager
def open_door(
    web: WebSettings,
    *,
    data_dir: Path,
    database_url: str,
    spool: SpoolSettings,
    jobs: JobSettings,
    destinations: tuple[DestinationSettings, ...],
    routes: Routes | None = None,
    patience: Patience | None = None,
    workitems: WorkitemSettings | None = None,
) -> Iterator[Door]:
    """Every part of the door with its adapters, for as long as the block; raises as ``serve`` does."""
    folder = DataFolder(data_dir)
    worklist = workitems or WorkitemSettings()
    viewer = ViewerPackage(Path(web.viewer_folder)) if web.viewer_folder else None
    with (
        closing(FileSpool(folder, spool)) as file_spool,
        closing(open_database(database_url, "overread web")) as database,
        closing(DecoderPool()) as decoders,
    ):
        objects = ObjectStore(folder)
        trail = PostgresAuditTrail(database)
        accounts = PostgresAccountDirectory(database)
        if not is_loopback(web.host):
            _require_account(web, accounts)
        throttle = Throttle()
        check = PasswordCheck(accounts, trail, throttle)
        programs = ProgramLogin(
            accounts,
            PostgresTokenStore(database),
            trail,
            check,
            throttle,
            {each.subject: each.account for each in web.client_certificates},
        )
        sessions = PostgresSessionStore(
            database, timedelta(minutes=web.session_idle_minutes), timedelta(hours=web.session_hours)
        )
        gate = AccountGate(sessions, check, programs, secure_cookie=bool(web.tls_certificate) or web.behind_proxy)
        wake, stopping = threading.Event(), threading.Event()
        uploads = Uploads(
            StoreHandler(file_spool, wake.set),
            file_spool.require_room,
            UploadPlaces(web.max_uploads),
            BodyLimits(web.max_request_bytes),
            web.max_instance_bytes,
        )
        desk = Desk(
            reading=PostgresSiteReading(database),
            monitoring=PostgresMonitoring(database),
            explainer=Overview(database, patience),
            feedback=PostgresFeedbackBook(database),
            jobs=PostgresJobQueue(database, objects, jobs, routes),
            accounts=accounts,
            algorithms=PostgresAlgorithmCatalog(database),
            trail=trail,
            evidence=objects,
            card=card_text,
            disk_use=lambda: _disk_use(folder),
            destinations=destinations,
            links=ViewerLinks(web.viewer_url, own=viewer is not None),
        )
        app = create_app(
            gate=gate,
            trail=trail,
            checks={"database": lambda: schema.check(database_url), "spool": file_spool.require_room},
            routers=[
                dashboard_router(desk, gate, stopping),
                metrics_router(desk, decoders, without_login=web.metrics_without_login),
                dicomweb_router(uploads, PostgresStudyIndex(database, objects), trail, decoders),
                analyze_router(
                    AnalyzeDesk(
                        uploads,
                        PostgresStudySettlement(database, routes or Routes()),
                        Overview(database),
                        objects,
                        trail,
                        decoders,
                    )
                ),
                feedback_api_router(desk.feedback, desk.explainer, trail),
                *(_worklist_routers(database, worklist, trail, gate, stopping) if worklist.enabled else []),
                viewer_router(viewer, PostgresStudyIndex(database, objects), trail, decoders),
                openapi_router(),
            ],
        )
        importer = SpoolImporter(file_spool, objects, PostgresArrivalLog(database))
        yield Door(app, importer, wake, stopping, trail, programs.certificate_refused)


@contextmanager
def _importing(importer: SpoolImporter, wake: threading.Event) -> Iterator[None]:
    """Move what arrives into rows meanwhile; a listener on the same data folder does the same, one at a time."""
    stop = threading.Event()
    thread = threading.Thread(target=importer.run, args=(stop, wake), name="importer")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        wake.set()
        thread.join()


def _worklist_routers(
    database: Database,
    settings: WorkitemSettings,
    trail: PostgresAuditTrail,
    gate: AccountGate,
    stopping: threading.Event,
) -> list[APIRouter]:
    subscriptions = PostgresSubscriptions(database, settings.most_subscribers)
    return [
        ups_router(PostgresWorklist(database, settings.most_workitems), trail),
        subscriptions_router(subscriptions),
        channel_router(subscriptions, gate, stopping),
    ]


def _require_account(web: WebSettings, accounts: PostgresAccountDirectory) -> None:
    """Refuse to be open to a network while nobody could log in.

    Raises:
        ListenerError: names the command that adds an account.
        DatabaseUnavailable: whether there is one cannot be told now.
    """
    if not any(account.disabled_at is None for account in accounts.all()):
        raise ListenerError(
            f'[web] host = "{web.host}" is reachable from other machines but there is no account; run `overread users '
            'add NAME --role administrator`, or set host = "127.0.0.1".'
        )


def _disk_use(folder: DataFolder) -> DiskUse:
    waiting = spool_usage(folder)
    return DiskUse(waiting.entries, waiting.bytes, shutil.disk_usage(folder.root).free)
