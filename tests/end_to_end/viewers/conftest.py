"""Servers of DICOMweb with a viewer before them: Orthanc and ourselves, each once for all tests of a module."""

import base64
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext
from pydicom import Dataset

from overread.fetch import package_cache
from overread.npm_fetch import fetch_ohif
from tests.integration.dicomweb.conftest import CONTENT_TYPE, multipart
from tests.peers import web_door
from tests.peers.ohif import APP_CONFIG, Ohif, chromium
from tests.peers.orthanc import Orthanc
from tests.peers.viewer_site import viewer_site


@dataclass(frozen=True)
class Archive:
    """A DICOMweb server on this machine, and how instances get into it."""

    name: str
    port: int
    headers: dict[str, str]
    store: Callable[[Sequence[bytes]], None]


@dataclass
class Station:
    """Where a reader sits: a browser, the viewer, and an archive behind it."""

    archive: Archive
    browser: BrowserContext
    address: str

    def read(self, study_instance_uid: str) -> Ohif:
        """The viewer with a study open in it."""
        return Ohif(self.browser, self.address).open(study_instance_uid)


def part10(data_set: Dataset) -> bytes:
    """A data set as the file that it is sent as."""
    buffer = BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def orthanc_archive() -> Iterator[Archive]:
    """Debian's Orthanc with its DICOMweb plugin."""
    folder = Path(tempfile.mkdtemp(prefix="orthanc-"))
    orthanc = Orthanc(folder, dicomweb=True)

    def store(files: Sequence[bytes]) -> None:
        for file in files:
            orthanc.request("POST", "/instances", file)

    try:
        orthanc.start()
        yield Archive("orthanc", orthanc.http_port, {}, store)
    finally:
        orthanc.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_archive(database_url: str) -> Iterator[Archive]:
    """Our own web door."""
    folder = Path(tempfile.mkdtemp(prefix="overread-web-"))
    try:
        with web_door.opened(database_url, folder) as door:
            stores = door.browser(**{"Content-Type": CONTENT_TYPE})

            def store(files: Sequence[bytes]) -> None:
                answer = stores.post(
                    "/dicom-web/studies", content=multipart(*files), auth=("operator", web_door.PASSWORD)
                )
                assert answer.status_code == 200, answer.text
                door.door.importer.import_pending()

            credentials = base64.b64encode(f"viewer:{web_door.PASSWORD}".encode()).decode()
            yield Archive("overread", door.port, {"Authorization": f"Basic {credentials}"}, store)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """One browser for all tests of a module."""
    with chromium() as context:
        yield context


@contextmanager
def station(archive: Archive, browser: BrowserContext) -> Iterator[Station]:
    """OHIF before an archive."""
    folder = fetch_ohif(package_cache())
    with viewer_site(folder, {"/app-config.js": APP_CONFIG}, archive.port, archive.headers) as origin:
        yield Station(archive, browser, f"{origin}/viewer")


@pytest.fixture(scope="module", params=["orthanc", "overread"])
def desk(request: pytest.FixtureRequest, browser: BrowserContext) -> Iterator[Station]:
    """OHIF before each archive in turn."""
    if request.param == "orthanc":
        with orthanc_archive() as archive, station(archive, browser) as made:
            yield made
    else:
        url = request.getfixturevalue("module_database_url")
        with own_archive(url) as archive, station(archive, browser) as made:
            yield made


@pytest.fixture
def reading(desk: Station, request: pytest.FixtureRequest) -> Iterator[list[Ohif]]:
    """The windows that a test opens: each is photographed at the end and closed."""
    opened: list[Ohif] = []
    yield opened
    for number, window in enumerate(opened):
        name = request.node.originalname.removeprefix("test_")
        window.shoot(f"{desk.archive.name}-{name}{number or ''}")
        window.page.close()
