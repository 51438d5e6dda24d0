"""A detection told as a story: prepare each image, find boxes, keep the best over all slices, report."""

import numpy as np

from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Detector
from inference.findings.boxes import Box, on_image
from inference.findings.detection import conclude_detections
from inference.imaging.image_series import open_series
from inference.imaging.plane import network_input
from inference.tasks.examination import Case, Examination
from inference.tasks.image_preparation import prepared_images, require_examined
from inference.tasks.key_images import told_on_key_images
from storage.domain.job_statistics import Stage


def examine(case: Case, detector: Detector, manifest: DetectionManifest) -> Examination:
    """Say where on the images of the series something is, and of each class of which nothing was found, that it is so.

    Raises:
        UnusableInput: an image cannot be used, or all of them show nothing, or less than ``min_content``.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    series = open_series(case.series.instances, case.series.headers)
    examined: list[int] = []
    blank: list[int] = []
    boxes: dict[int, list[Box]] = {}
    with case.watch.stage(Stage.INFER):
        for index, plane in prepared_images(series, manifest, examined, blank, case.watch):
            header = series.headers[index]
            found = detector.detect(network_input(plane[np.newaxis], manifest.image))
            for label, box in on_image(found, index, (int(header.Rows), int(header.Columns)), manifest.image):
                boxes.setdefault(label, []).append(box)
    require_examined(examined, manifest, blank)
    with case.watch.stage(Stage.POSTPROCESS):
        keys = conclude_detections(series, boxes, len(examined), manifest, case.tracking_uid)
    return told_on_key_images(case, series, keys)
