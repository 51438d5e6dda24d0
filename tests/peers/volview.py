"""The VolView viewer in headless Chromium, a reader of segmentations that shares no code with OHIF."""

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import BrowserContext

from overread.fetch import package_cache
from overread.npm_fetch import fetch_unpacked
from overread.packages import NpmPackage
from tests.peers.ohif import ARTIFACTS
from tests.peers.viewer_site import viewer_site

VOLVIEW = NpmPackage(
    "volview", "4.4.1", "volview-4.4.1.tgz", "10fd2c5881ebf4d6b42460081a2996a9a2244c85b5af8d68e9156fcd1fe26085"
)
_PATIENCE = 90_000  # milliseconds; a deadline for failure, not a measurement
_STORE = "document.querySelector('#app')?.__vue_app__?.config.globalProperties.$pinia._s.get('segmentGroup')"
_THERE = f"() => Object.keys({_STORE}?.metadataByID ?? {{}}).length > 0"
_SEGMENTATION = f"""() => {{
  const store = {_STORE}, [id] = Object.keys(store.metadataByID), map = store.dataIndex[id];
  return JSON.stringify({{
    segments: Object.values(store.metadataByID[id].segments.byValue),
    size: map.getDimensions(), origin: map.getOrigin(), spacing: map.getSpacing(),
    values: Array.from(map.getPointData().getScalars().getData()),
  }});
}}"""


@dataclass(frozen=True)
class ShownVolume:
    """Segments by number as (label, colour), the mask as (slice, row, column), and where in the patient it begins."""

    segments: dict[int, tuple[str, tuple[int, ...]]]
    mask: npt.NDArray[np.uint8]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    window: npt.NDArray[np.uint8]

    def pixels_near(self, color: Sequence[int], tolerance: int) -> int:
        """How many pixels of the window have about this colour."""
        distance = np.abs(self.window.astype(int) - np.array(color)).max(axis=-1)
        return int((distance <= tolerance).sum())


def read_in_volview(browser: BrowserContext, folder: Path, files: Sequence[bytes], name: str) -> ShownVolume:
    """Open images with a segmentation; ``folder`` is an empty one to work in, ``name`` that of the kept picture."""
    with _site(folder, files) as origin:
        page = browser.new_page()
        page.goto(f"{origin}/?urls=[/study.zip]")
        page.wait_for_function(_THERE, timeout=_PATIENCE)
        shown: dict[str, Any] = json.loads(page.evaluate(_SEGMENTATION))
        page.wait_for_timeout(1000)  # until it is drawn
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        picture = page.screenshot(path=ARTIFACTS / f"volview-{name}.png")
        page.close()
    columns, rows, slices = shown["size"]
    return ShownVolume(
        {one["value"]: (one["name"], tuple(one["color"][:3])) for one in shown["segments"]},
        np.array(shown["values"], np.uint8).reshape(slices, rows, columns),
        tuple(shown["origin"]),
        tuple(shown["spacing"]),
        np.array(Image.open(BytesIO(picture)).convert("RGB")),
    )


@contextmanager
def _site(folder: Path, files: Sequence[bytes]) -> Iterator[str]:
    site = folder / "site"
    shutil.copytree(fetch_unpacked(VOLVIEW, package_cache(), "dist"), site, copy_function=_link)
    with zipfile.ZipFile(site / "study.zip", "w") as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:04}.dcm", file)
    with viewer_site(site, {}, 0) as origin:
        yield origin


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
