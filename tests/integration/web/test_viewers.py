"""The viewer beside the dashboard, as far as it takes no browser to see, and the links to viewers."""

from pathlib import Path

import pytest

from listener.errors import ListenerError
from storage.domain.result import EvidenceRole
from storage.settings import JobSettings
from tests.peers.evidence_files import evidence_object
from tests.peers.result_desk import ResultDesk
from tests.peers.web_door import PASSWORD, WebDoor, opened


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder that looks like the prebuilt viewer, with a secret beside it."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<script>inline()</script>")
    (folder / "app.bundle.0f61.js").write_text('__webpack_require__.p = "/";\n')
    (folder / "app.bundle.css").write_text("a { background: url(/a.woff2), url(data:x), url('/b') }")
    (folder / "assets" / "x.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_without_a_viewer_there_is_none(web_door: WebDoor) -> None:
    """The address says so, and a study's page has no link."""
    answer = web_door.logged_in("viewer").get("/ohif/viewer")

    assert answer.status_code == 404
    assert "[web] viewer_folder" in answer.text


def test_the_viewer_is_served_under_its_prefix(database_url: str, tmp_path: Path, package: Path) -> None:
    """Its parts are found below /ohif, its own page has no script in it, and only there the policy is wider."""
    with opened(database_url, tmp_path / "data", viewer_folder=str(package)) as door:
        reader = door.logged_in("viewer")
        page, script = reader.get("/ohif/viewer?StudyInstanceUIDs=1.2"), reader.get("/ohif/app.bundle.0f61.js")
        style, module = reader.get("/ohif/app.bundle.css"), reader.get("/ohif/assets/x.wasm")

        assert '<script defer src="/ohif/app.bundle.0f61.js"></script>' in page.text
        assert "inline" not in page.text
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["cross-origin-embedder-policy"] == "require-corp"
        assert "'unsafe-eval'" in page.headers["content-security-policy"]
        assert "http" not in page.headers["content-security-policy"]
        assert script.text == '__webpack_require__.p = "/ohif/";\n'
        assert script.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert style.text == "a { background: url(/ohif/a.woff2), url(data:x), url('/ohif/b') }"
        assert module.headers["content-type"] == "application/wasm"
        assert '"wadoRoot": "/ohif/dicom-web"' in reader.get("/ohif/app-config.js").text
        assert "unsafe" not in reader.get("/studies").headers["content-security-policy"]


@pytest.mark.parametrize(
    "name", ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "nothing.js", "/etc/hosts.x"]
)
def test_nothing_but_the_viewer_is_read(database_url: str, tmp_path: Path, package: Path, name: str) -> None:
    """Whatever the address, a file outside the folder is not there."""
    with opened(database_url, tmp_path / "data", viewer_folder=str(package)) as door:
        assert door.logged_in("viewer").get(f"/ohif/{name}").status_code == 404


def test_the_viewer_reads_with_a_session_and_writes_nothing(database_url: str, tmp_path: Path, package: Path) -> None:
    """Nobody without a session gets a file or a search, a password in a header is none, and nothing can be stored."""
    with opened(database_url, tmp_path / "data", viewer_folder=str(package)) as door:
        stranger, reader = door.browser(), door.logged_in("viewer")
        asked = "/ohif/viewer?StudyInstanceUIDs=1.2"

        assert stranger.get(asked).headers["location"] == "/login?next=/ohif/viewer%3FStudyInstanceUIDs%3D1.2"
        for path in ("/ohif/app.bundle.0f61.js", "/ohif/dicom-web/studies"):
            assert stranger.get(path, auth=("viewer", PASSWORD)).status_code == 303
        assert reader.get("/ohif/dicom-web/studies").json() == []
        assert reader.post("/ohif/dicom-web/studies").status_code == 405
        assert door.logged_in("auditor").get("/ohif/dicom-web/studies").status_code == 403


def test_a_folder_without_a_viewer_is_refused_at_the_start(database_url: str, tmp_path: Path) -> None:
    """The sentence names the setting and what belongs there."""
    with (
        pytest.raises(ListenerError, match=r"\[web\] viewer_folder .* @ohif/app"),
        opened(database_url, tmp_path / "data", viewer_folder=str(tmp_path)),
    ):
        pass


def test_a_study_links_to_the_viewers(database_url: str, tmp_path: Path, package: Path) -> None:
    """The site's address gets the UID in its place; ours opens the segmentation of the newest result."""
    template = "https://viewer.hospital.example/show/{study_instance_uid}?a=1&b=2"
    with opened(database_url, tmp_path / "data", viewer_folder=str(package), viewer_url=template) as door:
        desk = ResultDesk(database_url, tmp_path / "data", JobSettings())
        report, segmentation = evidence_object(EvidenceRole.REPORT), evidence_object(EvidenceRole.SEGMENTATION)
        desk.owe(report, segmentation, destinations=())
        (study,) = desk.execute("SELECT study_instance_uid AS uid FROM study")
        desk.close()

        page = door.logged_in("viewer").get(f"/studies/{study['uid']}").text

    assert f'href="https://viewer.hospital.example/show/{study["uid"]}?a=1&amp;b=2" rel="noreferrer"' in page
    ours = (
        f"/ohif/viewer?StudyInstanceUIDs={study['uid']}&amp;initialSeriesInstanceUID={segmentation.series_instance_uid}"
    )
    assert f'href="{ours}"' in page
