"""Fetching from real archives: Orthanc over DIMSE and DICOMweb, dcmqrscp; what comes is kept, and is context."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pydicom.uid import generate_uid

from listener.scu.query.archive import ArchiveFailed
from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.fetching import lacking_of
from overread.fetching import Desk, fetching
from overread.settings import Settings
from storage.domain.fetch import FETCHED_AS_CONTEXT, FetchOutcome, FetchPurpose
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.engine import Database, open_database
from tests.integration.listener.conftest import Door
from tests.peers.dcmtk_servers import StartDcmqrscp
from tests.peers.orthanc import Orthanc
from tests.peers.synthetic_series import kept, slice_headers

_WAYS = ("c-move", "c-get", "wado-rs")


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


@pytest.fixture
def site(
    open_door: Callable[..., Door],
    start_orthanc: Callable[..., Orthanc],
    database_url: str,
    service_url: str,
    tmp_path: Path,
) -> Iterator[Site]:
    """An Orthanc with DICOMweb that knows our listener as OVERREAD."""
    door = open_door()
    orthanc = start_orthanc(
        modalities={"overread": ("OVERREAD", "127.0.0.1", door.port)},
        dicomweb=True,
        settings={"DicomAlwaysAllowGet": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True},
    )
    database = open_database(service_url, "test")
    with ExitStack() as stack:
        stack.callback(database.close)
        yield Site(orthanc, door, tmp_path, database_url, database, stack)


def test_each_way_brings_a_study_whole_as_context_and_again_nothing(site: Site) -> None:
    """By C-MOVE, C-GET and WADO-RS all comes, is settled without a job, and a second fetch asks for nothing."""
    for way in _WAYS:
        study = site.upload(series=2)
        desk = site.desk(site.archive(way))

        first = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)
        again = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)

        assert (first.outcome, first.listed, first.held, first.new) == (FetchOutcome.COMPLETE, 6, 6, 6), way
        assert (again.outcome, again.held, again.new) == (FetchOutcome.COMPLETE, 6, 0), way
    site.imported()
    settle_studies(site.database, 0)
    assert site.rows("SELECT count(*) FROM instance")[0][0] == 18
    assert set(site.rows("SELECT reason_code FROM study_revision")) == {(FETCHED_AS_CONTEXT.code,)}
    assert site.rows("SELECT count(*) FROM quarantined_object") == [(0,)]
    asked = site.rows("SELECT actor, action, outcome FROM audit_event WHERE action LIKE 'study-fetch%'")
    assert set(asked) == {("anna", "study-fetch-began", "success"), ("anna", "study-fetched", "success")}


def test_what_lacks_alone_is_asked_for(site: Site) -> None:
    """Of two series one is here and half of the other: the rest comes, by each way."""
    for way in _WAYS:
        study = site.upload(count=4, series=2)
        desk = site.desk(site.archive(way))
        listed = desk.archive.list_instances(study)
        later = {one.sop_instance_uid for one in listed[6:]}
        assert desk.archive.retrieve(study, lacking_of(listed, later), whole=False) is None

        end = desk.fetcher.fetch(study, FetchPurpose.CONTEXT)

        assert (end.outcome, end.held, end.new) == (FetchOutcome.COMPLETE, 8, 2), way


def test_an_archive_that_cannot_or_will_not_says_so(site: Site) -> None:
    """An unknown move destination, an unknown study, and nobody at the port: each has its code and is written down."""
    study = site.upload()
    unknown = site.desk(site.archive("c-move", received_as="NOBODY"))
    absent = site.desk(site.archive("c-get"))
    away = site.desk(site.archive("c-get", port=1))

    moved = unknown.fetcher.fetch(study, FetchPurpose.CONTEXT)
    lacks = absent.fetcher.fetch("1.2.3.4.5", FetchPurpose.CONTEXT)
    with pytest.raises(ArchiveFailed) as unreached:
        away.fetcher.fetch(study, FetchPurpose.CONTEXT)

    assert moved.reason is not None
    assert moved.reason.code == "archive-failed"  # Orthanc answers 0xC000 where the Standard has 0xA801
    assert lacks.reason is not None
    assert lacks.reason.code == "archive-lacks-study"
    assert unreached.value.reason.code == "archive-unreached"
    assert site.rows("SELECT count(*) FROM study_fetch WHERE outcome = 'failed'") == [(3,)]


def test_dcmqrscp_gives_by_c_get_and_knows_no_stranger(site: Site, start_dcmqrscp: StartDcmqrscp) -> None:
    """What DCMTK's archive holds comes by C-GET; as the destination of a C-MOVE it does not know us (0xA801)."""
    study, port = site.upload(), start_dcmqrscp()
    files = [str(path) for path in (site.folder / study).iterdir()]
    subprocess.run(["storescu", "-aec", "ARCHIVE", "127.0.0.1", str(port), *files], check=True)
    there = {"ae_title": "ARCHIVE", "port": port}

    with pytest.raises(ArchiveFailed) as moved:
        site.desk(site.archive("c-move", **there)).fetcher.fetch(study, FetchPurpose.ANALYSIS)
    end = site.desk(site.archive("c-get", **there)).fetcher.fetch(study, FetchPurpose.ANALYSIS)

    assert moved.value.reason.code == "move-destination-unknown"
    assert (end.outcome, end.new) == (FetchOutcome.COMPLETE, 3)
