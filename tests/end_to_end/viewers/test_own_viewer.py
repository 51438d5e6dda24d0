"""The viewer beside our own dashboard: from a study's page to its result, with the session of who is logged in."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext

from inference.algorithms.image_scoring import Highest
from inference.evidence.build import Segmented, further_evidence
from inference.evidence.segment_findings import pair
from overread.fetch import package_cache
from overread.npm_fetch import fetch_ohif
from storage.domain.result import EvidenceRole
from storage.settings import JobSettings
from tests.conformance.source_classification import classified, corner_map
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_probabilities,
    make_series,
)
from tests.end_to_end.viewers.conftest import part10
from tests.end_to_end.viewers.test_ohif import Case, assert_same_masks, assert_same_values, make_case
from tests.integration.dicomweb.conftest import CONTENT_TYPE, multipart
from tests.peers import web_door
from tests.peers.ohif import Ohif
from tests.peers.result_desk import ResultDesk


@dataclass
class Site:
    """A web door with the viewer, and a browser before it."""

    door: web_door.WebDoor
    database_url: str
    browser: BrowserContext

    @property
    def origin(self) -> str:
        """Where the browser finds it."""
        return f"http://127.0.0.1:{self.door.port}"

    def open_result(self, window: Ohif, case: Case) -> None:
        """Log in, and follow the link from the page of the study."""
        page = window.page
        page.goto(f"{self.origin}/login")
        page.fill("[name=name]", "viewer")
        page.fill("[name=password]", web_door.PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{self.origin}/")
        page.goto(f"{self.origin}/studies/{case.study_instance_uid}")
        page.get_by_role("link", name="Open in OHIF").click()

    def analysed(self, case: Case) -> None:
        """Let the images arrive and the evidence be their result."""
        answer = self.door.browser(**{"Content-Type": CONTENT_TYPE}).post(
            "/dicom-web/studies",
            content=multipart(*(part10(source) for source in case.sources)),
            auth=("operator", web_door.PASSWORD),
        )
        assert answer.status_code == 200, answer.text
        self.door.door.importer.import_pending()
        desk = ResultDesk(self.database_url, self.door.data_dir, JobSettings())
        desk.add_result(*case.evidence)
        desk.close()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for all tests of this module."""
    path = Path(tempfile.mkdtemp(prefix="overread-viewer-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def site(database_url: str, folder: Path, tmp_path: Path, browser: BrowserContext) -> Iterator[Site]:
    """The door as `[web] viewer_folder` opens it."""
    viewer = str(fetch_ohif(package_cache()))
    with web_door.opened(database_url, tmp_path / "data", viewer_folder=viewer) as door:
        yield Site(door, database_url, browser)
    browser.clear_cookies()


def test_from_the_study_page_to_the_result(site: Site) -> None:
    """The link asks who one is, opens the images with the segmentation over them, voxel for voxel, and nothing fails.

    The matrix is no multiple of 8, which OHIF draws shuffled unless it asks for the mask frame by frame.
    Content Security Policy, isolation and session are those of the door, with no server of the tests between.
    """
    case = make_case(31, shape=(8, 93, 77))
    site.analysed(case)
    window = Ohif(site.browser, f"{site.origin}/ohif/viewer")
    refused: list[str] = []
    window.page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page = window.page
    page.goto(f"{site.origin}/studies/{case.study_instance_uid}")
    page.fill("[name=name]", "viewer")
    page.fill("[name=password]", web_door.PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Open in OHIF").click()

    shown, expected = window.segmentation(), case.shown()

    assert shown.counts() == expected.counts()
    assert shown.by_slice() == expected.by_slice()
    assert_same_masks(shown, expected)
    window.wait_for_picture()
    window.shoot("own-segmentation")
    assert window.alarms() == []
    assert refused == []
    page.close()


def test_a_classification_opens_with_its_report(site: Site, tmp_path: Path) -> None:
    """Where there is no segmentation, the report is what opens, drawn on its key image."""
    sources = make_series(SourceSeries(modality="MR", shape=(8, 96, 80), study_uid="1.2.826.0.1.3680043.8.498.32"))
    result = classified(tmp_path / "result", [Highest(2, 0.93, corner_map())], sources)
    case = Case(sources, np.zeros((8, 96, 80), np.uint8), result.evidence)
    site.analysed(case)
    window = Ohif(site.browser, f"{site.origin}/ohif/viewer")
    site.open_result(window, case)

    window.wait_for_drawing()

    assert window.drawn_lines() == ["Certainty of Finding: 93.00 %"]
    window.wait_for_picture()
    window.shoot("own-classification")
    assert window.alarms() == []
    window.page.close()


def test_a_map_lies_over_the_images_beside_its_segmentation(site: Site) -> None:
    """A result that was made for other viewers too has its maps in ours: every value over its image, in colour."""
    case = make_case(33)
    context = make_context(case.sources)
    found = pair(case.labels, (LIVER, NODULE), make_findings(context, case.labels, (LIVER, NODULE)))
    sure = make_probabilities(case.labels)
    maps = further_evidence(Segmented(context, case.labels, found, sure), EvidenceRole.PARAMETRIC_MAP)
    case = Case(case.sources, case.labels, (*case.evidence, *maps))
    site.analysed(case)
    window = Ohif(site.browser, f"{site.origin}/ohif/viewer")
    site.open_result(window, case)
    window.segmentation()  # the result is open; the viewer complains when it is left before
    window.page.goto(f"{site.origin}/ohif/viewer?StudyInstanceUIDs={case.study_instance_uid}")
    window.wait_for_picture()

    shown = window.show_map("map of Liver")

    assert_same_values(shown, case.sources, sure.of(LIVER.number))
    window.go_to(case.sources[2].SOPInstanceUID)  # at times the viewer draws a map only when its reader scrolls
    window.wait_until(lambda: window.colored_pixels() > 96 * 80, "colours")
    window.shoot("own-map")
    assert window.alarms() == []
    window.page.close()
