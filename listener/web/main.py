"""The web door's process: wires the application to storage, serves until it is told to stop."""

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import Request

from listener.errors import ListenerError, WebPortBusy
from listener.scp.store import StoreHandler
from listener.scp.toolkit_log import quiet_toolkits
from listener.settings import WebSettings, check_web_settings
from listener.web.access import Principal
from listener.web.app import create_app
from listener.web.body import BodyLimits, UploadPlaces
from listener.web.dicomweb.router import dicomweb_router
from listener.web.uploads import Uploads
from storage.importer import SpoolImporter
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.postgres import schema
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import open_database
from storage.settings import JobSettings, SpoolSettings

log = logging.getLogger(__name__)

_GRACE_SECONDS = 10  # for requests in progress when a stop comes


def serve(
    web: WebSettings,
    *,
    data_dir: Path,
    database_url: str,
    spool: SpoolSettings,
    jobs: JobSettings,
    announce: Callable[[int], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status; ``announce`` is told the port once we listen.

    Raises:
        ListenerError: the settings are not safe, or the port cannot be had.
        OSError: the data folder cannot be made.
    """
    check_web_settings(web)
    quiet_toolkits()
    folder = DataFolder(data_dir)
    file_spool = FileSpool(folder, spool)
    database = open_database(database_url, "overread web")
    importer = SpoolImporter(file_spool, ObjectStore(folder), PostgresArrivalLog(database))
    wake = threading.Event()
    uploads = Uploads(
        StoreHandler(file_spool, wake.set),
        UploadPlaces(web.max_uploads),
        BodyLimits(web.max_request_bytes),
        web.max_instance_bytes,
    )
    app = create_app(
        gate=_ClosedGate(),
        checks={"database": lambda: schema.check(database_url)},
        routers=[dicomweb_router(uploads)],
    )
    listening = _listening_socket(web)
    port = int(listening.getsockname()[1])
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # paths hold identifiers
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    log.info("The web door listens on %s port %d.", web.host, port)
    if announce is not None:
        announce(port)
    try:
        with _signals_do_not_kill(), _importing(importer, wake):
            server.run(sockets=[listening])
    finally:
        listening.close()
        database.close()
        file_spool.close()
    return 0


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


class _ClosedGate:
    """Lets nobody in: there are no accounts yet."""

    def authenticate(self, request: Request) -> Principal | None:
        """Nobody is known."""
        return None


class _Server(uvicorn.Server):
    """uvicorn's server, as we start and stop it."""


def _listening_socket(web: WebSettings) -> socket.socket:
    """A bound socket; made by us, because uvicorn ends the process when it cannot make one.

    Raises:
        WebPortBusy: another program has the port.
        ListenerError: the address cannot be listened on.
    """
    try:
        family, *_, address = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise _bind_error(web, error) from error
    return listening


def _bind_error(web: WebSettings, error: OSError) -> ListenerError:
    if error.errno == errno.EADDRINUSE:
        return WebPortBusy(
            f"Port {web.port} on {web.host} is already in use; stop the other program or set another [web] port."
        )
    return ListenerError(
        f"The web door cannot listen on {web.host} port {web.port} ({error.strerror}); correct [web] host or port."
    )


@contextmanager
def _signals_do_not_kill() -> Iterator[None]:
    """uvicorn stops by itself on SIGTERM and SIGINT and then raises the signal again, which must not end us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ignore(_number: int, _frame: FrameType | None) -> None:
        pass

    previous = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
