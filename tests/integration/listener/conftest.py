"""A listener in this process, or in one of its own."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydicom.uid import generate_uid

from listener.scp.acceptor import Acceptor
from listener.scp.association_policy import AssociationPolicy
from listener.scp.store import StoreHandler
from listener.scu.query.archive_settings import ArchiveSettings
from listener.settings import ListenerSettings
from overread.fetching import Desk, fetching
from overread.settings import Settings
from storage.importer import SpoolImporter
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import Database, open_database
from storage.settings import SpoolSettings
from tests.peers.orthanc import Orthanc
from tests.peers.synthetic_series import kept, slice_headers

ROOT = Path(__file__).parents[3]

_SERVE = """
import sys
from pathlib import Path
from listener.main import serve
from listener.settings import ListenerSettings
from storage.domain.completeness import EvidenceKind, Patience, SourcePatience
from storage.settings import SpoolSettings
believing = SourcePatience(60.0, 7200.0, 5.0, frozenset({EvidenceKind.COMMITMENT, EvidenceKind.AVAILABILITY}))
sys.exit(serve(
    ListenerSettings.model_validate_json(sys.argv[3]), data_dir=Path(sys.argv[1]), database_url=sys.argv[2],
    spool=SpoolSettings(min_free_bytes=0), patience=Patience(believing), announce=lambda port: print(port, flush=True),
))
"""


@dataclass
class Door:
    """A running acceptor with its spool."""

    acceptor: Acceptor
    folder: DataFolder
    spool: FileSpool

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.acceptor.port

    def importer(self, database_url: str) -> SpoolImporter:
        """An importer of this door's spool."""
        return importer_of(self.spool, database_url)


def importer_of(spool: FileSpool, database_url: str) -> SpoolImporter:
    """An importer as the listener's process wires it."""
    return SpoolImporter(
        spool, ObjectStore(spool.folder), PostgresArrivalLog(open_database(database_url, "overread test"))
    )


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    """Starts acceptors on free ports, all on one data folder, and stops them after the test."""
    doors: list[Door] = []

    def start(spool_settings: SpoolSettings | None = None, **listener: object) -> Door:
        folder = DataFolder(tmp_path / "data")
        spool = FileSpool(folder, spool_settings or SpoolSettings(min_free_bytes=0))
        settings = ListenerSettings.model_validate({"port": 0, **listener})
        acceptor = Acceptor(settings, AssociationPolicy(settings), StoreHandler(spool), spool.require_room)
        acceptor.start()
        doors.append(Door(acceptor, folder, spool))
        return doors[-1]

    yield start
    for door in doors:
        door.acceptor.stop()
        door.spool.close()


class ListenerProcess:
    """The listener as its own process, with an unreachable database unless told otherwise."""

    def __init__(self, data_dir: Path, database_url: str, prefix: list[str], listener: dict[str, object]) -> None:
        settings = json.dumps({"port": 0, **listener})
        command = [*prefix, sys.executable, "-c", _SERVE, str(data_dir), database_url, settings]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if ready else b""
        if not line:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1].decode())
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL to it and to what it traces: nothing can be tidied up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def terminate(self) -> tuple[int, str]:
        """SIGTERM; the exit status and what was logged."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors.decode()


@pytest.fixture
def listener_process(tmp_path: Path) -> Iterator[Callable[..., ListenerProcess]]:
    """Starts listener processes on one data folder and kills those that are left."""
    started: list[ListenerProcess] = []

    def start(
        database_url: str = "postgresql://nobody@127.0.0.1:1/none", prefix: tuple[str, ...] = (), **listener: object
    ) -> ListenerProcess:
        started.append(ListenerProcess(tmp_path / "data", database_url, list(prefix), listener))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()


@dataclass
class Site:
    """A listener, an archive beside it, and ways to look."""

    orthanc: Orthanc
    door: Door
    folder: Path
    url: str
    database: Database
    stack: ExitStack
    studies: list[str] = field(default_factory=list)

    def upload(self, count: int = 3, series: int = 1, **attributes: Any) -> str:
        """A new study in the archive; its Study Instance UID."""
        study = str(generate_uid())
        folder = self.folder / study
        folder.mkdir()
        for number in range(series):
            headers = slice_headers(count)
            for header in headers:
                header.StudyInstanceUID, header.SeriesNumber = study, number + 1
                for keyword, value in attributes.items():
                    setattr(header, keyword, value)
            kept(headers, folder)
        for path in folder.iterdir():
            self.orthanc.upload(path)
        self.studies.append(study)
        return study

    def archive(self, way: str, **keys: Any) -> ArchiveSettings:
        """The Orthanc as an archive that gives this way."""
        if way == "wado-rs":
            url = f"http://127.0.0.1:{self.orthanc.http_port}/dicom-web"
            return ArchiveSettings(name="pacs", kind="web", url=url, **keys)
        return ArchiveSettings(
            **{
                "name": "pacs",
                "ae_title": "ORTHANC",
                "host": "127.0.0.1",
                "port": self.orthanc.dicom_port,
                "retrieve": way,
                **keys,
            }
        )

    def desk(self, place: ArchiveSettings) -> Desk:
        """What fetches from it."""
        settings = Settings(data_dir=self.door.folder.root, archives=(place,), spool={"min_free_bytes": 0})
        return self.stack.enter_context(fetching(settings, place, self.database, "anna"))

    def imported(self) -> None:
        """Give what waits in the spool its rows."""
        self.door.importer(self.url).import_pending()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Whatever a statement returns."""
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def execute(self, statement: str) -> None:
        """Carry a statement out."""
        with psycopg2.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.fixture(scope="module")
def archive_orthanc() -> Iterator[Orthanc]:
    """An Orthanc that may be asked, over DIMSE and DICOMweb."""
    settings = {"DicomAlwaysAllowGet": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True}
    with tempfile.TemporaryDirectory(prefix="orthanc-") as folder:
        orthanc = Orthanc(Path(folder), dicomweb=True, settings=settings)
        try:
            yield orthanc.start()
        finally:
            orthanc.stop()


@pytest.fixture
def site(
    open_door: Callable[..., Door],
    archive_orthanc: Orthanc,
    database_url: str,
    service_url: str,
    tmp_path: Path,
) -> Iterator[Site]:
    """An Orthanc with DICOMweb that knows our listener as OVERREAD."""
    door = open_door()
    us = {"AET": "OVERREAD", "Host": "127.0.0.1", "Port": door.port}
    archive_orthanc.request("PUT", "/modalities/overread", json.dumps(us).encode())
    database = open_database(service_url, "test")
    with ExitStack() as stack:
        stack.callback(database.close)
        yield Site(archive_orthanc, door, tmp_path, database_url, database, stack)
