"""One PostgreSQL for the whole run; every test that asks for a database gets its own clone of a migrated one."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres
from storage.postgres.rights import grant_service_rights

pytest_plugins = ["tests.peers.plugin"]

# Which tests talk to which program: part of a test's place, or the name of a fixture.
_NEEDED_BY = {
    "chromium": ("test_dashboard_in_a_browser", "test_viewer_in_a_browser", "end_to_end/viewers"),
    "npm": ("end_to_end/viewers",),
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so": (
        "end_to_end/viewers",
        "in_its_series_by_qido",
        "web_orthanc",
        "again_over_the_web",
        "counts_over_the_web",
        "stops_over_the_web",
        "form_over_the_web",
    ),
    "Orthanc": ("test_receiving_benchmark", "end_to_end/viewers", "orthanc", "start_orthanc", "there_and_back"),
    "curl": ("test_curl_stores", "test_an_instance_comes_back", "test_the_page_for_researchers"),
    "dcm2json": ("test_metadata_is_what_dcmtk",),
    "dciodvfy": (
        "tests/unit/destinations",
        "tests/conformance",
        "there_and_back",
        "is_valid_dicom",
        "test_studies_over_the_web",
        "end_to_end/viewers",
    ),
    "dsrdump": ("tests/conformance", "there_and_back"),
    "plastimatch": ("plastimatch",),
    "pdftotext": ("tests/conformance/test_document",),
    "javac": ("pixelmed",),
    "/usr/share/java/pixelmed.jar": ("pixelmed",),
    "echoscu": ("test_storing_over_dicom",),
    "storescu": (
        *("storescu", "test_storing_over_dicom", "there_and_back", "test_from_images_to_a_report"),
        *("test_studies_over_the_web", "test_receiving_benchmark", "test_delivery_benchmark"),
    ),
    "storescp": ("start_storescp", "test_delivery_benchmark"),
    "dcmqrscp": ("start_dcmqrscp",),
    "strace": ("test_every_answer_follows_its_sync", "test_the_answer_to_a_large_instance"),
    "gcc": ("tests/end_to_end/test_torture", "test_forgetful_disk"),
}

# Where processes share the files, these folders come first: what is left for the end is short, so all end together.
_LONG = ("tests/end_to_end", "tests/conformance", "tests/integration")

_TEMPLATE = "template_overread"
# The tests' own server may lose everything in a power cut; the product's may not.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedPostgres]:
    """A running server with the two roles of the product: the owner and the service."""
    folder = Path(tempfile.mkdtemp(prefix="overread-tests-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "postgres", _FAST)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(embedded_server: EmbeddedPostgres) -> str:
    """The URL of a running server as its owner, to be used only to make databases."""
    return embedded_server.owner_url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> str:
    """The name of a database that stands at the newest revision."""
    _execute(postgres_server, f"CREATE DATABASE {_TEMPLATE}")
    template = _with_database(postgres_server, _TEMPLATE)
    schema.upgrade(template)
    grant_service_rights(template, SERVICE_ROLE)
    return _TEMPLATE


@pytest.fixture
def database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """The owner's URL of a fresh database at the newest revision; it really commits, locks and notifies."""
    with _database(postgres_server, f"TEMPLATE {migrated_template}") as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """The same, one for all tests of a module."""
    with _database(postgres_server, f"TEMPLATE {migrated_template}") as url:
        yield url


@pytest.fixture
def service_url(database_url: str, embedded_server: EmbeddedPostgres) -> str:
    """The same database for the role that the product's processes connect as."""
    return _with_database(embedded_server.url, urlsplit(database_url).path.removeprefix("/"))


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh database without any table."""
    with _database(postgres_server, "") as url:
        yield url


@contextlib.contextmanager
def _database(server: str, how: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _execute(server, f"CREATE DATABASE {name} {how}")
    try:
        yield _with_database(server, name)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what talks to a program that is not installed; where processes share the files, long ones first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next((n for n, one in enumerate(_LONG) if item.nodeid.startswith(one)), len(_LONG)))
    _leave_out_what_lacks_its_program(items)


def _leave_out_what_lacks_its_program(items: list[pytest.Item]) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [one for one in _NEEDED_BY if not (Path(one).is_file() or shutil.which(one, path=path))]
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for program in missing:
            if any(need in item.nodeid or need in fixtures for need in _NEEDED_BY[program]):
                item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI every peer must be there: a test that is left out is a failure."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI=true does not allow: {reason}"
    return report
