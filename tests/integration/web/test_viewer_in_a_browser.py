"""A real browser decides what a page of another origin may read of us."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.integration.dicomweb.conftest import file_bytes, multipart
from tests.integration.dicomweb.test_rendered_pictures import read
from tests.integration.dicomweb.test_retrieving_over_the_web import path_of
from tests.peers.web_door import PASSWORD, WebDoor, opened

_FETCH = """async ([address, accept, header]) => {
    try {
        const answer = await fetch(address, {headers: {Authorization: header, Accept: accept}});
        const blob = await answer.blob();
        return [answer.status, blob.type, blob.size, answer.headers.get("X-Total-Count")];
    } catch (error) { return error.name; }
}"""
_BASIC = "Basic b3BlcmF0b3I6YSBsb25nIGVub3VnaCBwYXNzd29yZA=="  # operator, with the usual password
_DICOM = 'multipart/related; type="application/dicom"; boundary=a-boundary'


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[tuple[str, Page]]:
    """A page of another origin, open in Chromium."""
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "index.html").write_text("<title>viewer</title>")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: _Quiet(*a, directory=str(folder)))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    origin = f"http://127.0.0.1:{server.server_port}"
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = chromium.new_page()
            page.goto(origin)
            yield origin, page
            chromium.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _asked(page: Page, door: WebDoor, path: str, accept: str = "application/dicom+json") -> object:
    return page.evaluate(_FETCH, [f"http://127.0.0.1:{door.port}{path}", accept, _BASIC])


def test_a_page_of_a_stated_origin_reads_studies_and_pictures(
    database_url: str, tmp_path: Path, viewer: tuple[str, Page]
) -> None:
    """Search with its count and rendered pictures arrive in the page's script; the dashboard does not."""
    origin, page = viewer
    with opened(database_url, tmp_path / "data", viewer_origins=[origin]) as door:
        stored = door.browser().post(
            "/dicom-web/studies",
            content=multipart(file_bytes("CT_small.dcm")),
            headers={"Content-Type": _DICOM},
            auth=("operator", PASSWORD),
        )
        assert stored.status_code == 200, stored.text
        door.door.importer.import_pending()

        status, _, _, total = _asked(page, door, "/dicom-web/studies")  # type: ignore[misc]
        picture = _asked(page, door, path_of(read("CT_small.dcm")) + "/rendered", "image/png")

        assert (status, total) == (200, "1")
        assert picture[:2] == [200, "image/png"]  # type: ignore[index]
        assert _asked(page, door, "/login") == "TypeError"
        assert _asked(page, door, "/api/v1/openapi.json") == "TypeError"


def test_a_page_of_another_origin_reads_nothing(database_url: str, tmp_path: Path, viewer: tuple[str, Page]) -> None:
    """Even with a password that is right."""
    _, page = viewer
    with opened(database_url, tmp_path / "data", viewer_origins=["https://viewer.hospital.example"]) as door:
        assert _asked(page, door, "/dicom-web/studies") == "TypeError"
