"""A classification told as a story: prepare each image, score it, look at the highest, report."""

from collections.abc import Iterator
from functools import partial

from inference.algorithms.classification_manifest import ClassificationManifest, ImageContract
from inference.algorithms.engine import Classifier
from inference.algorithms.image_scoring import score_images
from inference.algorithms.occlusion import with_occlusion_maps
from inference.errors import UnusableInput
from inference.evidence.build import build_classification_evidence
from inference.evidence.drawing import png
from inference.evidence.key_image_picture import draw_key_image
from inference.findings.classification import conclude
from inference.imaging.content import air_level, blank_share, content
from inference.imaging.image_series import ImageSeries, bright_is_high, open_series
from inference.imaging.plane import Plane, prepare_plane
from inference.monitoring.job_watch import JobWatch
from inference.tasks.examination import Case, Examination
from storage.domain.job_statistics import Seen, Stage
from storage.domain.result import ResultPicture


def examine(case: Case, classifier: Classifier, manifest: ClassificationManifest) -> Examination:
    """Say of each class how probable it is on the image of the series where it is most probable.

    Raises:
        UnusableInput: an image cannot be used, or all of them show nothing, or less than ``min_content``.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    series = open_series(case.series.instances, case.series.headers)
    examined: list[int] = []
    blank: list[int] = []
    classes = [one.index for one in manifest.outputs.classes]
    with case.watch.stage(Stage.INFER):
        planes = _prepared(series, manifest, examined, blank, case.watch)
        highest = score_images(classifier, planes, classes, manifest.inference.batch, manifest.image)
    if not examined:
        raise _nothing(manifest.input, blank)
    with case.watch.stage(Stage.INFER):
        highest = with_occlusion_maps(highest, partial(_bright_image, series), classifier, manifest)
    with case.watch.stage(Stage.POSTPROCESS):
        keys = conclude(series, highest, len(examined), manifest, case.tracking_uid)
    context = case.context(series.headers, series.values)
    drawn = [draw_key_image(context, key) for key in keys]
    return Examination(
        context,
        tuple(key.finding for key in keys),
        build_classification_evidence(context, keys, drawn, case.wanted),
        tuple(
            ResultPicture(key.classification.label, png(picture.image()))
            for key, picture in zip(keys, drawn, strict=True)
        ),
    )


def _nothing(contract: ImageContract, blank: list[int]) -> UnusableInput:
    """Why no image was examined."""
    if blank:
        return UnusableInput(
            "masked-image", f"More than {contract.max_blank:.0%} of an image is blank, as after skull stripping."
        )
    if contract.min_content:
        words = f"The series shows nothing: of none of its images {contract.min_content:.0%} are brighter than air."
        return UnusableInput("empty-image", words)
    return UnusableInput("empty-image", "The series shows nothing: the pixel values of its images do not differ.")


def _prepared(
    series: ImageSeries, manifest: ClassificationManifest, examined: list[int], blank: list[int], watch: JobWatch
) -> Iterator[tuple[int, Plane]]:
    """The network's input for each image that shows something; ``examined`` is told which these are.

    ``blank`` is told which images were left out because they are masked.
    """
    asked = manifest.input.min_content
    level = air_level(values for _, values in _bright(series, watch)) if asked else 0
    middle = len(series.headers) // 2 if manifest.image.examined == "middle" else None
    for index, values in _bright(series, watch, middle):
        if values.min() == values.max() or (asked and content(values, level) < asked):
            continue
        if blank_share(values) > manifest.input.max_blank:
            blank.append(index)
            continue
        examined.append(index)
        with watch.stage(Stage.PREPROCESS):
            watch.saw(Seen.RECEIVED, values, len(series.headers))
            plane = prepare_plane(values, manifest.image)
            watch.saw(Seen.PREPARED, plane, len(series.headers))
        yield index, plane


def _bright(series: ImageSeries, watch: JobWatch, only: int | None = None) -> Iterator[tuple[int, Plane]]:
    """Each image with its place, or only one of them; bright things are bright."""
    for index in range(len(series.headers)):
        if only not in (None, index):
            continue
        with watch.stage(Stage.LOAD):
            values = _bright_image(series, index)
        yield index, values


def _bright_image(series: ImageSeries, index: int) -> Plane:
    return bright_is_high(series.values(index), series.headers[index])
