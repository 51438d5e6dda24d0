"""The web door in this process, on a real port, with a real spool and database; accounts are names of roles."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Request
from pydicom.data import get_testdata_file
from pydicom.filereader import dcmread
from pydicom.filewriter import dcmwrite

from listener.scp.store import StoreHandler
from listener.scp.toolkit_log import quiet_toolkits
from listener.web.access import Principal
from listener.web.app import create_app
from listener.web.body import BodyLimits, UploadPlaces
from listener.web.dicomweb.router import dicomweb_router
from listener.web.pictures.pool import DecoderPool
from listener.web.set_aside_allowance import SetAsideAllowance
from listener.web.uploads import Uploads
from storage.domain.account import Role
from storage.importer import SpoolImporter
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import Database, open_database
from storage.postgres.study_index import PostgresStudyIndex
from storage.settings import SpoolSettings
from tests.peers import web_door

_BOUNDARY = "a-boundary"
_LIMITS = BodyLimits(2**30)


class RoleGate:
    """Lets in anybody who names a role as the account; how accounts are checked is tested elsewhere."""

    def authenticate(self, request: Request) -> Principal | None:
        """The principal named in the Authorization header."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        name = base64.b64decode(credentials).decode().partition(":")[0]
        return Principal(name, frozenset({Role(name)})) if name in set(Role) else None


@dataclass
class WebDoor:
    """A running web door with what stands behind it."""

    port: int
    folder: DataFolder
    database: Database
    importer: SpoolImporter

    @property
    def url(self) -> str:
        """Where DICOMweb is."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def client(self, role: str = "operator") -> httpx.Client:
        """An HTTP client with an account of this role."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=(role, "secret"), timeout=60)

    def stow(self, *files: bytes, study: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
        """Store files as any client would, and import what was stored."""
        with self.client() as client:
            answer = client.post(
                "/dicom-web/studies" + (f"/{study}" if study else ""),
                content=multipart(*files),
                headers={"Content-Type": CONTENT_TYPE, **(headers or {})},
            )
        self.importer.import_pending()
        return answer

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        from sqlalchemy import text

        with self.database.transaction() as session:
            return [tuple(row) for row in session.execute(text(query))]


CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'


def multipart(*files: bytes, part_type: str = "application/dicom") -> bytes:
    """The body of a store request."""
    parts = b"".join(
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (_BOUNDARY.encode(), part_type.encode(), file) for file in files
    )
    return parts + b"--%s--\r\n" % _BOUNDARY.encode()


def file_bytes(name: str) -> bytes:
    """One of pydicom's test files; file meta information that names another instance is corrected first."""
    path = Path(get_testdata_file(name, download=False))
    instance = dcmread(path)
    if instance.file_meta.MediaStorageSOPInstanceUID == instance.SOPInstanceUID:
        return path.read_bytes()
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    buffer = BytesIO()
    dcmwrite(buffer, instance)
    return buffer.getvalue()


@pytest.fixture
def open_web_door(tmp_path: Path, database_url: str) -> Iterator[Callable[..., WebDoor]]:
    """Starts web doors on one data folder and stops them after the test."""
    started: list[tuple[uvicorn.Server, threading.Thread, FileSpool, Database]] = []
    quiet_toolkits()
    decoders = DecoderPool()

    def start(
        spool_settings: SpoolSettings | None = None,
        *,
        limits: BodyLimits = _LIMITS,
        max_instance_bytes: int = 2**28,
        places: int = 4,
        allowance: SetAsideAllowance | None = None,
    ) -> WebDoor:
        folder = DataFolder(tmp_path / "data")
        spool = FileSpool(folder, spool_settings or SpoolSettings(min_free_bytes=0))
        database = open_database(database_url, "test web")
        importer = SpoolImporter(spool, ObjectStore(folder), PostgresArrivalLog(database))
        uploads = Uploads(
            StoreHandler(spool),
            spool.require_room,
            UploadPlaces(places),
            limits,
            max_instance_bytes,
            allowance or SetAsideAllowance(),
        )
        index, trail = PostgresStudyIndex(database, ObjectStore(folder)), PostgresAuditTrail(database)
        routers = [dicomweb_router(uploads, index, trail, decoders)]
        app = create_app(gate=RoleGate(), trail=trail, checks={}, routers=routers)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        started.append((server, thread, spool, database))
        return WebDoor(listening.getsockname()[1], folder, database, importer)

    yield start
    for server, thread, spool, database in started:
        server.should_exit = True
        thread.join()
        spool.close()
        database.close()
    decoders.close()


@pytest.fixture
def api_door(database_url: str, tmp_path: Path) -> Iterator[web_door.WebDoor]:
    """The whole web door with its importer, as `overread web` runs it."""
    with web_door.opened(database_url, tmp_path / "data") as door:
        stop = threading.Event()
        importer = threading.Thread(target=door.door.importer.run, args=(stop, door.door.wake))
        importer.start()
        yield door
        stop.set()
        door.door.wake.set()
        importer.join()
