"""A detection in a volume told as a story: make a volume, find boxes window by window, put them on slices, report."""

from inference.algorithms.box_windows import detect_volume
from inference.algorithms.engine import Detector
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.findings.detection import conclude_volume_detections
from inference.findings.volume_boxes import on_slices
from inference.imaging.image_series import open_series
from inference.imaging.volume import load_volume
from inference.tasks.examination import Case, Examination
from inference.tasks.key_images import told_on_key_images
from inference.tasks.volume_preparation import prepared_volume
from storage.domain.job_statistics import Seen, Stage


def examine(case: Case, detector: Detector, manifest: VolumeDetectionManifest) -> Examination:
    """Say where in the volume of a series something is, and of each class of which nothing was found, that it is so.

    Raises:
        UnusableInput: the series cannot be used as a volume.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    with case.watch.stage(Stage.LOAD):
        volume = load_volume(case.series.instances, case.series.headers, case.series.geometry)
        case.watch.saw(Seen.RECEIVED, volume.values)
    prepared, mapping = prepared_volume(volume, manifest.preprocessing, case.watch)
    series = open_series(case.series.instances, volume.headers)
    del volume  # its memory is the network's from here on; of the few images that are shown the pixels are read again
    with case.watch.stage(Stage.INFER):
        found = detect_volume(detector, prepared, manifest)
    with case.watch.stage(Stage.POSTPROCESS):
        keys = conclude_volume_detections(series, on_slices(found, mapping), manifest, case.tracking_uid)
    return told_on_key_images(case, series, keys)
