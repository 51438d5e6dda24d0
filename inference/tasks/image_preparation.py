"""The images of a series as a network of single images takes them: those that show something, bright things bright."""

from collections.abc import Iterator
from typing import Protocol

from pydicom import Dataset

from inference.algorithms.classification_manifest import ImageContract, ImagePreprocessing
from inference.errors import UnusableInput
from inference.imaging.content import air_level, blank_share, content
from inference.imaging.image_series import ImageSeries, bright_is_high
from inference.imaging.plane import Plane, prepare_plane
from inference.imaging.voi_lut import as_displayed
from inference.monitoring.job_watch import JobWatch
from storage.domain.job_statistics import Seen, Stage


class OfImages(Protocol):
    """What a manifest of single images says of them."""

    @property
    def input(self) -> ImageContract:
        """Which images are taken."""
        ...

    @property
    def image(self) -> ImagePreprocessing:
        """How they become the network's input."""
        ...


def prepared_images(
    series: ImageSeries, manifest: OfImages, examined: list[int], blank: list[int], watch: JobWatch
) -> Iterator[tuple[int, Plane]]:
    """The network's input for each image that shows something; ``examined`` is told which these are.

    ``blank`` is told which images were left out because they are masked.
    """
    asked = manifest.input.min_content
    stored = _images(series, watch)
    level = air_level(bright_is_high(values, series.headers[index]) for index, values in stored) if asked else 0
    middle = len(series.headers) // 2 if manifest.image.examined == "middle" else None
    for index, stored_values in _images(series, watch, middle):
        values = bright_is_high(stored_values, series.headers[index])
        if values.min() == values.max() or (asked and content(values, level) < asked):
            continue
        if blank_share(values) > manifest.input.max_blank:
            blank.append(index)
            continue
        shown = _shown(stored_values, series.headers[index], manifest.image)
        if shown.min() == shown.max():  # all of it is outside the window
            continue
        examined.append(index)
        with watch.stage(Stage.PREPROCESS):
            watch.saw(Seen.RECEIVED, values, len(series.headers))
            plane = prepare_plane(shown, manifest.image)
            watch.saw(Seen.PREPARED, plane, len(series.headers))
        yield index, plane


def require_examined(examined: list[int], manifest: OfImages, blank: list[int]) -> None:
    """Refuse a series of which no image was shown to the network.

    Raises:
        UnusableInput: ``masked-image``; or ``empty-image``: all images show nothing, or less than ``min_content``.
    """
    if examined:
        return
    contract = manifest.input
    if blank:
        raise UnusableInput(
            "masked-image", f"More than {contract.max_blank:.0%} of an image is blank, as after skull stripping."
        )
    if contract.min_content:
        words = f"The series shows nothing: of none of its images {contract.min_content:.0%} are brighter than air."
        raise UnusableInput("empty-image", words)
    raise UnusableInput("empty-image", "The series shows nothing: the pixel values of its images do not differ.")


def shown_image(series: ImageSeries, image: ImagePreprocessing, index: int) -> Plane:
    """The values of one image from which the network's input is made; bright things are bright."""
    return _shown(series.values(index), series.headers[index], image)


def _shown(values: Plane, header: Dataset, image: ImagePreprocessing) -> Plane:
    return as_displayed(values, header) if image.voi == "first" else bright_is_high(values, header)


def _images(series: ImageSeries, watch: JobWatch, only: int | None = None) -> Iterator[tuple[int, Plane]]:
    """The values of each image with its place, or only of one of them."""
    for index in range(len(series.headers)):
        if only not in (None, index):
            continue
        with watch.stage(Stage.LOAD):
            values = series.values(index)
        yield index, values
