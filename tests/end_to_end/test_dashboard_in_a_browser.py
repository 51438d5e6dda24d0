"""The dashboard as people use it: a real browser, the whole product behind it, one study after the other."""

import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from overread.demo.modality import push
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview
from tests.end_to_end.conftest import Product, Series, write_series
from tests.peers.free_ports import free_port

ROLES = ("viewer", "operator", "administrator", "auditor")
PASSWORD = "correct horse battery staple"
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
HOSTILE = "<img src=x onerror=alert(1)>"
_PATIENCE = 60_000  # milliseconds; a deadline for failure, not a measurement

TABS = {
    "viewer": ["Overview", "Studies", "Jobs", "Algorithms", "Monitoring", "Agreement"],
    "operator": ["Overview", "Studies", "Jobs", "Algorithms", "Monitoring", "Agreement"],
    "administrator": ["Overview", "Studies", "Jobs", "Algorithms", "Monitoring", "Agreement", "Users"],
    "auditor": ["Overview", "Algorithms", "Monitoring", "Agreement", "Audit"],
}
ADDRESSES = {
    "Studies": "/studies",
    "Jobs": "/jobs",
    "Monitoring": "/monitoring",
    "Agreement": "/agreement",
    "Audit": "/audit",
    "Users": "/users",
}


@pytest.fixture(scope="module")
def site(bright_voxels: Path) -> Iterator[Product]:
    """A running product with an algorithm and one account of each role."""
    folder = Path(tempfile.mkdtemp(prefix="overread-web-"))
    folder.chmod(0o711)
    product = Product(folder / "data", {"OVERREAD_WEB_PORT": str(free_port())}, port=free_port())
    try:
        assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
        for role in ROLES:
            done = product.command("users", "add", role, "--role", role, "--password-stdin", typed=PASSWORD)
            assert done.returncode == 0, done.stderr
        product.start()
        yield product
    finally:
        product.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as it is installed on this machine."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@dataclass
class Visitor:
    """Somebody at a browser, watched for what must never happen on any page."""

    base: str
    context: BrowserContext
    page: Page
    trouble: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note console errors, dialogs, and requests to anywhere but the product."""
        ours = urlsplit(self.base).netloc
        self.page.on("console", lambda said: said.type == "error" and self.trouble.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.trouble.append(f"script: {error}"))
        self.page.on("dialog", lambda dialog: (self.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.context.on(
            "request", lambda sent: urlsplit(sent.url).netloc != ours and self.trouble.append(f"outside: {sent.url}")
        )

    def log_in(self, name: str) -> None:
        """By keyboard alone, as the page puts the cursor into the first field."""
        self.page.goto("/")
        expect(self.page.get_by_label("Name")).to_be_focused()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type(PASSWORD)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    def keep_picture(self, name: str) -> None:
        """Leave a screenshot among the artifacts of the test run."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@pytest.fixture
def visit(site: Product, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser of somebody new; at the end, no page may have misbehaved."""
    visitors: list[Visitor] = []

    def new(**options: object) -> Visitor:
        base = f"http://127.0.0.1:{site.settings['OVERREAD_WEB_PORT']}"
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = browser.new_context(base_url=base, **options)  # type: ignore[arg-type]
        context.set_default_timeout(_PATIENCE)
        visitor = Visitor(base, context, context.new_page())
        visitor.watch()
        visitors.append(visitor)
        return visitor

    expect.set_options(timeout=_PATIENCE)
    yield new
    trouble = [each for visitor in visitors for each in visitor.trouble]
    for visitor in visitors:
        visitor.context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def analysed(site: Product, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A study that has been there and back, of a patient with a hostile identifier."""
    return _analysed(site, tmp_path_factory.mktemp("series"), PatientID=HOSTILE, AccessionNumber="ACC-4711")


def _analysed(site: Product, folder: Path, **attributes: str) -> Series:
    series = write_series(folder, **attributes)
    push(series.paths, host="127.0.0.1", port=site.port, called_ae_title="OVERREAD")
    site.wait_for_study(series.study_instance_uid, "done")
    return series


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_what_it_may_and_nothing_else(
    visit: Callable[..., Visitor], analysed: Series, role: str
) -> None:
    """The tabs are those of the role, each opens, and the addresses of the others are refused."""
    visitor = visit()
    visitor.log_in(role)
    tabs = visitor.page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert tabs.all_inner_texts() == TABS[role]

    for tab in TABS[role]:
        visitor.page.get_by_role("navigation", name="Pages").get_by_role("link", name=tab).click()
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text(tab)
        visitor.keep_picture(f"{role}-{tab.lower()}")
    for tab, address in ADDRESSES.items():
        assert visitor.context.request.get(address).status == (200 if tab in TABS[role] else 403), address
    study = visitor.context.request.get(f"/studies/{analysed.study_instance_uid}")
    assert study.status == (403 if role == "auditor" else 200)
    assert ("PHANTOM" in study.text() or "onerror" in study.text()) == (role != "auditor")


def test_a_study_arrives_and_finishes_while_the_page_is_open(
    visit: Callable[..., Visitor], site: Product, tmp_path: Path
) -> None:
    """Its line appears, its state changes, and on its own page the report and the pictures, all without a reload."""
    series = write_series(tmp_path / "series")
    uid = series.study_instance_uid
    listing, study = visit(), visit()
    for visitor in (listing, study):
        visitor.log_in("viewer")
    listing.page.goto("/studies")
    expect(listing.page.locator("#feed")).to_contain_text("Live")
    _mark(listing.page)

    push(series.paths, host="127.0.0.1", port=site.port, called_ae_title="OVERREAD")
    row = listing.page.get_by_role("row", name=re.compile(re.escape(uid)))
    expect(row).to_be_visible()
    study.page.goto(f"/studies/{uid}")
    _mark(study.page)

    expect(row.locator(".state")).to_have_text("done")
    expect(study.page.locator("h1 .state")).to_have_text("done")
    expect(study.page.locator(".steps li.reached strong")).to_have_text(["received", "complete", "analysed"])
    expect(study.page.locator("pre.report")).to_contain_text("Research use only")
    expect(study.page.locator("figure img").first).to_be_visible()
    assert _is_marked(listing.page)
    assert _is_marked(study.page)
    study.keep_picture("study-finished-live")


def _mark(page: Page) -> None:
    """Leave something in the page that a reload would remove."""
    page.evaluate("window.neverReloaded = true")


def _is_marked(page: Page) -> bool:
    return bool(page.evaluate("window.neverReloaded === true"))


# The digest of what the browser shows, row by row as red, green, blue and opacity: megabytes of pixels stay there.
_DIGEST_OF_PIXELS = """async image => {
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const drawing = canvas.getContext("2d");
    drawing.drawImage(image, 0, 0);
    const digest = await crypto.subtle.digest("SHA-256", drawing.getImageData(0, 0, canvas.width, canvas.height).data);
    return [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, "0")).join("");
}"""


def test_the_pictures_on_the_page_are_the_stored_ones(
    visit: Callable[..., Visitor], site: Product, analysed: Series
) -> None:
    """Every pixel that the browser shows is that of the PNG that was frozen with the result."""
    visitor = visit()
    visitor.log_in("viewer")
    visitor.page.goto(f"/studies/{analysed.study_instance_uid}")
    images = visitor.page.locator("figure img")
    stored = _stored_pictures(site, analysed)

    assert images.count() == len(stored) > 0
    for number, picture in enumerate(stored):
        image = images.nth(number)
        image.scroll_into_view_if_needed()
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))
        assert image.evaluate(_DIGEST_OF_PIXELS) == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert (pixels[..., :3].max(axis=2) > pixels[..., :3].min(axis=2)).any(), "something is marked in colour"


def _stored_pictures(site: Product, series: Series) -> list[bytes]:
    database = open_database(site.database_url(), "tests")
    try:
        (result,) = Overview(database).report(series.study_instance_uid)[-1:]
    finally:
        database.close()
    store = ObjectStore(DataFolder(site.data_dir))
    return [store.evidence(picture["sha256"]).read_bytes() for picture in result["pictures"]]


def test_what_a_sender_wrote_is_text_on_the_page(visit: Callable[..., Visitor], analysed: Series) -> None:
    """A Patient ID made of HTML is shown as it is and runs nothing."""
    visitor = visit()
    visitor.log_in("viewer")
    visitor.page.goto(f"/studies/{analysed.study_instance_uid}")

    expect(visitor.page.get_by_text(HOSTILE)).to_be_visible()
    assert visitor.page.locator("img[src='x']").count() == 0


def test_an_accession_number_finds_its_study_and_stands_in_no_address(
    visit: Callable[..., Visitor], analysed: Series
) -> None:
    """The search shows the study; the address bar, which proxies and histories keep, does not hold the number."""
    visitor = visit()
    visitor.log_in("viewer")
    visitor.page.goto("/studies")
    visitor.page.get_by_label("UID or accession number").fill("ACC-4711")
    visitor.page.keyboard.press("Enter")

    link = visitor.page.get_by_role("link", name=analysed.study_instance_uid)
    expect(link).to_be_visible()
    assert "4711" not in visitor.page.url
    link.click()
    expect(visitor.page.get_by_text("ACC-4711")).to_be_visible()


def test_an_operator_has_work_done_again(visit: Callable[..., Visitor], site: Product, tmp_path: Path) -> None:
    """One press makes a new job that names the old one, and the page shows its end; a viewer's buttons only judge."""
    series = _analysed(site, tmp_path / "series")
    operator, viewer = visit(), visit()
    operator.log_in("operator")
    viewer.log_in("viewer")
    for visitor in (operator, viewer):
        visitor.page.goto(f"/studies/{series.study_instance_uid}")
    assert viewer.page.locator("main button").all_inner_texts() == ["Accept", "Reject"]
    viewer.page.get_by_role("button", name="Reject").click()
    expect(viewer.page.locator("table.judged")).to_contain_text("rejected in the dashboard by viewer")

    operator.page.get_by_role("button", name=re.compile("Do the work of job")).first.click()

    again = operator.page.get_by_role("row", name=re.compile("again for"))
    expect(again).to_be_visible()
    expect(again.locator(".state")).to_have_text("analysed")
    expect(operator.page.locator("section.result")).to_have_count(2)
    expect(operator.page.locator("table.judged").first).to_contain_text("rejected in the dashboard by viewer")
    operator.keep_picture("study-done-again")


def test_an_account_that_is_disabled_loses_its_open_page(visit: Callable[..., Visitor], site: Product) -> None:
    """The administrator presses a button, and the other's page asks for a login by itself."""
    done = site.command("users", "add", "leaver", "--role", "viewer", "--password-stdin", typed=PASSWORD)
    assert done.returncode == 0, done.stderr
    leaver, administrator = visit(), visit()
    leaver.log_in("leaver")
    expect(leaver.page.locator("#feed")).to_contain_text("Live")
    administrator.log_in("administrator")
    administrator.page.goto("/users")
    administrator.page.get_by_role("button", name="Disable leaver and end its sessions").click()

    expect(administrator.page.get_by_role("button", name="Let leaver log in again")).to_be_visible()
    expect(leaver.page.get_by_role("heading", name="Log in")).to_be_visible()
    assert leaver.context.request.get("/studies", max_redirects=0).status == 303


def test_the_pages_work_without_scripts_and_on_a_phone(visit: Callable[..., Visitor], analysed: Series) -> None:
    """Forms and links suffice; nothing is wider than the screen."""
    visitor = visit(java_script_enabled=False, viewport={"width": 390, "height": 844})
    visitor.log_in("operator")
    for tab in TABS["operator"]:
        visitor.page.get_by_role("navigation", name="Pages").get_by_role("link", name=tab).click()
        expect(visitor.page.get_by_role("heading", level=1)).to_have_text(tab)
    visitor.page.goto(f"/studies/{analysed.study_instance_uid}")
    expect(visitor.page.locator("pre.report")).to_contain_text("Research use only")
    visitor.keep_picture("study-on-a-phone")

    wide = visit(viewport={"width": 390, "height": 844})
    wide.log_in("operator")
    for address in ("/", "/studies", "/jobs", "/algorithms", f"/studies/{analysed.study_instance_uid}"):
        wide.page.goto(address)
        assert wide.page.evaluate("document.documentElement.scrollWidth") <= 390, address
