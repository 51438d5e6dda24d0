"""The OHIF viewer in headless Chromium: what it shows of a study, read from its own services and its own canvas."""

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from playwright.sync_api import BrowserContext, Locator, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts" / "viewers"
_PATIENCE = 60_000  # milliseconds; a deadline for failure, not a measurement
_LOOK = 100
_BLANK = 10  # grey values at most
_SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
_ALARMING = re.compile(
    r"Route viewer Error Boundary|Something went wrong|not yet supported|Unable to generate tool state|"
    r"can't import frame|DerivationImageSequence not present|RecommendedDisplayCIELabValue|Content Security Policy"
)
_DATA_SOURCE = {
    "friendlyName": "site",
    "name": "site",
    "wadoUriRoot": "/wado",
    "qidoRoot": "/dicom-web",
    "wadoRoot": "/dicom-web",
    "qidoSupportsIncludeField": False,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": False,
    "supportsWildcard": True,
    "omitQuotationForMultipartRequest": True,
    "bulkDataURI": {"enabled": True},
}
APP_CONFIG = "window.config = " + json.dumps(
    {
        "routerBasename": None,
        "extensions": [],
        "modes": [],
        "customizationService": {},
        "showStudyList": True,
        "maxNumberOfWebWorkers": 1,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "site",
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": "site",
                "configuration": _DATA_SOURCE,
            }
        ],
    }
)
# A PDF is shown in a frame of its own, which has no storage.
_NO_TOUR = "window.localStorage?.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
_IMAGE_SHOWN = "() => window.cornerstone?.getRenderingEngines()[0]?.getViewports()[0]?.getCurrentImageId?.()"
_SEGMENTATION_SHOWN = """() => {
  const [found] = window.services?.segmentationService?.getSegmentations() ?? [];
  return found
    && found.representationData.Labelmap.imageIds.every(id => window.cornerstone.cache.getImage(id))
    && window.services.segmentationService.getSegmentColor(
      window.services.viewportGridService.getActiveViewportId(), found.segmentationId, 1);
}"""
# The slice is that of the image that the viewer lays the mask over, not that of the frame in the object, so a mask on
# a wrong slice is seen.
_SEGMENTATION = """() => {
  const service = window.services.segmentationService, [found] = service.getSegmentations();
  const viewport = window.services.viewportGridService.getActiveViewportId();
  return {
    segments: Object.values(found.segments).filter(Boolean).map(one => ({
      number: one.segmentIndex, label: one.label,
      color: Array.from(service.getSegmentColor(viewport, found.segmentationId, one.segmentIndex)),
    })),
    slices: found.representationData.Labelmap.imageIds.map(id => {
      const image = window.cornerstone.cache.getImage(id);
      return {
        source: image.referencedImageId, rows: image.rows, columns: image.columns,
        values: Array.from(image.voxelManager.getScalarData()),
      };
    }),
  };
}"""
_MEASUREMENTS = """() => window.cornerstoneTools.annotation.state.getAllAnnotations()
  .filter(one => one.metadata.toolName === 'DICOMSRDisplay')
  .map(one => ({
    tracking_uid: one.annotationUID, image: one.metadata.referencedImageId,
    labels: one.data.labels.map(each => `${each.label}: ${each.value}`),
  }))"""
_CONTOURS_SHOWN = """() => window.services?.segmentationService?.getSegmentations()
  .some(one => one.representationData.Contour)"""
_CONTOURS = """() => window.cornerstoneTools.annotation.state.getAllAnnotations()
  .filter(one => one.data.segmentation && one.data.contour)
  .map(one => ({
    number: one.data.segmentation.segmentIndex, color: Array.from(one.data.segmentation.color),
    image: one.metadata.referencedImageId, points: one.data.contour.polyline.map(each => Array.from(each)),
  }))"""
# Where the viewer lays each plane of a map; it shows hundredths.
_MAP_SHOWN = """() => [...(window.cornerstone?.cache._volumeCache.values() ?? [])]
  .some(one => one.volumeId?.startsWith('pmap.') && one.volume?.loadStatus?.loaded)
  && window.cornerstone.getRenderingEngines()[0].getViewports()[0].getActors().length > 1"""
_MAP = """() => {
  const volumes = [...window.cornerstone.cache._volumeCache.values()].map(one => one.volume);
  const map = volumes.find(one => one.volumeId.startsWith('pmap.'));
  const images = window.cornerstone.cache.getVolume(map.referencedVolumeId).imageIds;
  const [columns, rows] = map.dimensions, values = Array.from(map.voxelManager.getCompleteScalarDataArray());
  return images.map((id, index) => ({
    source: id, rows, columns, values: values.slice(index * rows * columns, (index + 1) * rows * columns),
  }));
}"""
_SLICES = "() => window.cornerstone.getRenderingEngines()[0].getViewports()[0].getNumberOfSlices()"
_GO_TO = """index => {
  const [viewport] = window.cornerstone.getRenderingEngines()[0].getViewports();
  return window.cornerstone.utilities.jumpToSlice(viewport.element, {imageIndex: index});
}"""
_COLORED = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let place = 0; place < data.length; place += 4) {
    const red = data[place], green = data[place + 1], blue = data[place + 2];
    if (Math.max(red, green, blue) - Math.min(red, green, blue) > 40) count += 1;
  }
  return count;
}"""
_LOOKED_AT = """index => {
  const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
  return viewport.getCurrentImageIdIndex() === index && window.cornerstone.cache.getImage(viewport.getCurrentImageId());
}"""
_LOOK_AT = """index => window.cornerstone.utilities.jumpToSlice(
  window.cornerstone.getRenderingEngines()[0].getViewports()[0].element, {imageIndex: index})"""
# A list of numbers takes ten seconds for each million of them.
_IN_BASE64 = """bytes => {
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""
_PIXELS = (
    """() => {
  const id = window.cornerstone.getRenderingEngines()[0].getViewports()[0].getCurrentImageId();
  const image = window.cornerstone.cache.getImage(id);
  const pixels = new Uint8Array(image.getPixelData());
  return {image: id, rows: image.rows, columns: image.columns, values: ("""
    + _IN_BASE64
    + """)(pixels)};
}"""
)
_DOCUMENT = (
    """async () => {
  const answer = await fetch(document.querySelector('object[type="application/pdf"]').data);
  return ("""
    + _IN_BASE64
    + """)(new Uint8Array(await answer.arrayBuffer()));
}"""
)
_GREYS = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(data.filter((_, index) => index % 4 === 1)).size;
}"""


@dataclass(frozen=True)
class ShownSegmentation:
    """Segments by number as (label, colour), and the mask that lies over each image, by its SOP Instance UID."""

    segments: Mapping[int, tuple[str, tuple[int, ...]]]
    masks: Mapping[str, npt.NDArray[np.uint8]]

    def counts(self) -> dict[int, int]:
        """Voxels of each segment in all slices."""
        values, counts = np.unique(np.stack(list(self.masks.values())), return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True) if value}

    def by_slice(self) -> dict[str, set[int]]:
        """The segments that each image shows."""
        return {uid: {int(value) for value in np.unique(mask) if value} for uid, mask in self.masks.items()}


@dataclass(frozen=True)
class ShownMeasurement:
    """One group of a report: the image it is drawn on and the lines beside it."""

    tracking_uid: str
    sop_instance_uid: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ShownContour:
    """A closed line around a region: its number, colour, image, and points in mm in the patient's system."""

    number: int
    color: tuple[int, ...]
    sop_instance_uid: str
    points: npt.NDArray[np.float64]


class Ohif:
    """One open page of the viewer."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page = context.new_page()
        self.console: list[str] = []
        self._address = address
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(f"page error: {error}"))

    def open(self, study_instance_uid: str) -> "Ohif":
        """Show a study; its first images are in the viewport afterwards."""
        self.page.goto(f"{self._address}?StudyInstanceUIDs={study_instance_uid}")
        self._wait_for(_IMAGE_SHOWN)
        return self

    def show_segmentation(self, series_number: int) -> ShownSegmentation:
        """Open a segmentation as a reader does, and agree to load it."""
        self.choose(series_number)
        self.page.locator("[data-cy=yes-hydrate-btn]").first.click(timeout=_PATIENCE)
        return self.segmentation()

    def segmentation(self) -> ShownSegmentation:
        """The segmentation that is open, once it is."""
        self._wait_for(_SEGMENTATION_SHOWN)
        shown = self.page.evaluate(_SEGMENTATION)
        return ShownSegmentation(
            {one["number"]: (one["label"], tuple(one["color"][:3])) for one in shown["segments"]},
            {
                _image(one["source"]): np.array(one["values"], np.uint8).reshape(one["rows"], one["columns"])
                for one in shown["slices"]
            },
        )

    def show_structure_set(self, series_number: int) -> list[ShownContour]:
        """Open a structure set as a reader does, and agree to load it."""
        self.choose(series_number)
        self.page.locator("[data-cy=yes-hydrate-btn]").first.click(timeout=_PATIENCE)
        self._wait_for(_CONTOURS_SHOWN)
        self.page.wait_for_selector("svg.svg-layer path", state="attached", timeout=_PATIENCE)
        return [
            ShownContour(one["number"], tuple(one["color"]), _image(one["image"]), np.array(one["points"]))
            for one in self.page.evaluate(_CONTOURS)
        ]

    def show_report(self, series_number: int) -> list[ShownMeasurement]:
        """Open a report and wait until the first of its measurements is drawn."""
        self.choose(series_number)
        self.wait_for_drawing()
        return [
            ShownMeasurement(one["tracking_uid"], _image(one["image"]), tuple(one["labels"]))
            for one in self.page.evaluate(_MEASUREMENTS)
        ]

    def show_map(self, description: str) -> dict[str, npt.NDArray[np.float32]]:
        """Open a parametric map; its values over each image, by the image's SOP Instance UID."""
        self._thumbnail(description).dblclick(timeout=_PATIENCE)
        self._wait_for(_MAP_SHOWN)
        return {
            _image(one["source"]): np.array(one["values"], np.float32).reshape(one["rows"], one["columns"])
            / np.float32(100)
            for one in self.page.evaluate(_MAP)
        }

    def go_to(self, sop_instance_uid: str) -> None:
        """Show this image; the viewer counts the slices of a volume in an order of its own.

        Raises:
            AssertionError: it shows it nowhere.
        """
        for index in range(self.page.evaluate(_SLICES)):
            self.page.evaluate(_GO_TO, index)
            shown = self.page.evaluate(_IMAGE_SHOWN)
            if _image(shown) == sop_instance_uid:
                return
        raise AssertionError("The viewer shows this image nowhere.")

    def colored_pixels(self) -> int:
        """How many pixels of the viewport are not grey."""
        count: int = self._canvas().evaluate(_COLORED, timeout=_PATIENCE)
        return count

    def show_images(self, series_number: int, series_instance_uid: str) -> None:
        """Open a series of images and wait until the viewport has one of them."""
        self.choose(series_number)
        self._wait_for(f"() => ({_IMAGE_SHOWN})()?.includes('{series_instance_uid}')")

    def shown_pixels(self) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """The images of the viewport as (SOP Instance UID, RGB pixels), each looked at in turn until it is there."""
        count = self.page.evaluate(
            "() => window.cornerstone.getRenderingEngines()[0].getViewports()[0].getImageIds().length"
        )
        found = []
        for index in range(count):
            self.page.evaluate(_LOOK_AT, index)
            self._wait_for(f"() => ({_LOOKED_AT})({index})")
            shown = self.page.evaluate(_PIXELS)
            pixels = np.frombuffer(b64decode(shown["values"]), np.uint8)
            values = pixels.reshape(shown["rows"], shown["columns"], -1)
            found.append((_image(shown["image"]), values[:, :, :3]))
        return found

    def thumbnail_is_drawn(self, series_number: int) -> None:
        """Return once the list has a picture for this series.

        Raises:
            AssertionError: it never has.
        """
        picture = self._thumbnail(f"S:{series_number}").locator("img").first
        self.wait_until(lambda: picture.evaluate("img => img.naturalWidth", timeout=_PATIENCE), "a thumbnail")

    def show_text(self, series_number: int, words: str) -> str:
        """Open a page of text and wait until it has these words; all that is written on it."""
        self.choose(series_number)
        self.page.get_by_text(words).first.wait_for(timeout=_PATIENCE)
        return self.page.locator("body").inner_text()

    def show_document(self, series_number: int) -> bytes:
        """Open a document and wait until the page has it; its bytes."""
        self.choose(series_number)
        self._wait_for("() => document.querySelector('object[type=\"application/pdf\"]')?.data")
        return b64decode(self.page.evaluate(_DOCUMENT))

    def choose(self, series_number: int) -> None:
        """Double-click a series in the list."""
        self._thumbnail(f"S:{series_number}").dblclick(timeout=_PATIENCE)

    def _thumbnail(self, text: str) -> Locator:
        return self.page.locator("[data-cy^=study-browser-thumbnail]").filter(has_text=text).first

    def _canvas(self) -> Locator:
        return self.page.locator("canvas.cornerstone-canvas").first

    def wait_for_drawing(self) -> None:
        """Return once an outline is drawn over the image."""
        self.page.wait_for_selector("svg.svg-layer polyline", state="attached", timeout=_PATIENCE)

    def drawn_lines(self) -> list[str]:
        """The lines of text drawn over the image."""
        return self.page.locator("svg.svg-layer tspan").all_text_contents()

    def wait_for_picture(self) -> None:
        """Return once the viewport is more than one colour and some text.

        Raises:
            AssertionError: it stays blank.
        """
        self.wait_until(lambda: self._canvas().evaluate(_GREYS, timeout=_PATIENCE) > _BLANK, "a picture")

    def alarms(self) -> list[str]:
        """What the viewer complained of."""
        return [line for line in self.console if _ALARMING.search(line) or line.startswith("page error")]

    def wait_until(self, happened: Callable[[], object], what: str) -> None:
        """Let the page go on until something has happened.

        Raises:
            AssertionError: it never does.
        """
        for _ in range(_PATIENCE // _LOOK):
            if happened():
                return
            self.page.wait_for_timeout(_LOOK)
        raise AssertionError(f"The viewer never came to {what}\n{self.console[-10:]}")

    def shoot(self, name: str) -> None:
        """Keep a picture of the window for whoever wants to look."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png")

    def _wait_for(self, condition: str) -> None:
        try:
            self.page.wait_for_function(condition, timeout=_PATIENCE)
        except PlaywrightTimeout:
            raise AssertionError(f"The viewer never got there: {condition}\n{self.console[-10:]}") from None


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """A browser without a window that draws in software."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*_SOFTWARE_GL])
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(_NO_TOUR)
        yield context
        browser.close()


def _image(image_id: str) -> str:
    """The image's instance, and "/" and the number of its frame where that is not the first."""
    found = re.search(r"/instances/([0-9.]+)(?:/frames/([0-9]+))?", image_id)
    assert found is not None, image_id
    return found[1] if found[2] in (None, "1") else f"{found[1]}/{found[2]}"
