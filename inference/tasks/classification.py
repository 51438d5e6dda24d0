"""A classification told as a story: prepare each image, score it, look at the highest, report."""

from functools import partial

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Classifier
from inference.algorithms.image_scoring import score_images
from inference.algorithms.occlusion import with_occlusion_maps
from inference.findings.classification import conclude
from inference.imaging.image_series import open_series
from inference.tasks.examination import Case, Examination
from inference.tasks.image_preparation import prepared_images, require_examined, shown_image
from inference.tasks.key_images import told_on_key_images
from storage.domain.job_statistics import Stage


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
        planes = prepared_images(series, manifest, examined, blank, case.watch)
        highest = score_images(classifier, planes, classes, manifest.inference.batch, manifest.image)
    require_examined(examined, manifest, blank)
    with case.watch.stage(Stage.INFER):
        highest = with_occlusion_maps(highest, partial(shown_image, series, manifest.image), classifier, manifest)
    with case.watch.stage(Stage.POSTPROCESS):
        keys = conclude(series, highest, len(examined), manifest, case.tracking_uid)
    return told_on_key_images(case, series, keys)
