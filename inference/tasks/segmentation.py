"""A segmentation told as a story: make a volume, predict, label, measure, report."""

from concurrent.futures import Future, ThreadPoolExecutor

from PIL import Image

from inference.algorithms.engine import Predictor
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.evidence.build import build_evidence
from inference.evidence.drawing import png
from inference.evidence.overlay_pictures import overlays
from inference.evidence.segment_findings import pair
from inference.evidence.segment_picture import draw_segments
from inference.findings.measurement import measure
from inference.findings.postprocessing import postprocessed
from inference.findings.segmentation import Labels, Probabilities, label_voxels
from inference.imaging.volume import Volume, as_seen, load_projection, load_volume
from inference.monitoring.job_watch import JobWatch
from inference.tasks.examination import Case, Examination
from inference.tasks.volume_preparation import prepared_volume
from inference.turns import DEVICE
from storage.domain.job_statistics import Seen, Stage
from storage.domain.result import EvidenceForm, EvidenceObject, ResultPicture

_OF_PROBABILITIES = {EvidenceForm.PARAMETRIC_MAP, EvidenceForm.FRACTIONAL}


def examine(case: Case, predictor: Predictor, manifest: SegmentationManifest) -> Examination:
    """Outline and measure what the manifest names in the volume of a series.

    Raises:
        UnusableInput: the series cannot be used as a volume.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    with case.watch.stage(Stage.LOAD):
        volume = _volume(case, manifest)
        case.watch.saw(Seen.RECEIVED, volume.values)
    with case.watch.stage(Stage.POSTPROCESS):
        labels, probabilities = _labelled(volume, predictor, manifest, case)
        findings = measure(volume, labels, manifest.outputs, manifest.identity.name, case.tracking_uid)
    context = case.context(volume.headers, volume.values.__getitem__)
    segments = [described.description() for described in manifest.outputs.segments]
    if manifest.input.projection:
        evidence = build_evidence(context, labels, segments, findings, case.wanted, probabilities)
        drawn = draw_segments(context, labels, pair(labels, segments, findings), 0)
        return Examination(context, findings, evidence, (_picture("Radiograph", drawn.image()),))
    pictures: list[Future[ResultPicture]] = []
    with ThreadPoolExecutor(1, "pictures") as beside:  # compressing lets the reports be written meanwhile

        def draw(outlined: EvidenceObject | None) -> None:
            for title, picture in overlays(volume, outlined, context.short_mark):
                pictures.append(beside.submit(_picture, title, picture))

        evidence = build_evidence(context, labels, segments, findings, case.wanted, probabilities, draw)
        return Examination(context, findings, evidence, tuple(picture.result() for picture in pictures))


def _picture(title: str, picture: Image.Image) -> ResultPicture:
    return ResultPicture(title, png(picture))


def _volume(case: Case, manifest: SegmentationManifest) -> Volume:
    if manifest.input.projection:
        return load_projection(case.series.instances, case.series.headers[0])
    return load_volume(case.series.instances, case.series.headers, case.series.geometry)


def _labelled(
    volume: Volume, predictor: Predictor, manifest: SegmentationManifest, case: Case
) -> tuple[Labels, Probabilities | None]:
    """The labels, and what they were made from where something wanted shows it; else its memory is given back."""
    probabilities = predict(volume, predictor, manifest, case.watch)
    segments = manifest.outputs.segments
    labels = postprocessed(label_voxels(probabilities, segments), segments, volume.geometry.voxel_volume_mm3)
    return labels, probabilities if case.wanted & _OF_PROBABILITIES else None


def predict(volume: Volume, predictor: Predictor, manifest: SegmentationManifest, watch: JobWatch) -> Probabilities:
    """Preprocess and predict one volume; ``watch`` sees what the network is given.

    Raises:
        UnusableInput: the volume shows nothing.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    preprocessing = manifest.preprocessing
    with watch.stage(Stage.PREPROCESS):
        seen = as_seen(volume, preprocessing.voi) if manifest.input.projection else volume
    prepared, mapping = prepared_volume(seen, preprocessing, watch)
    with watch.stage(Stage.INFER), DEVICE:
        output = predict_volume(predictor, prepared, manifest.inference)
    channels = {segment.number: segment.channel for segment in manifest.outputs.segments}
    return Probabilities(output, channels, mapping, preprocessing.anti_aliasing)
