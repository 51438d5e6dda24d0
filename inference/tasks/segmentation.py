"""A segmentation told as a story: make a volume, predict, label, measure, report."""

from inference.algorithms.engine import Predictor
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.evidence.build import build_evidence
from inference.evidence.overlay_pictures import overlay_pictures
from inference.findings.measurement import measure
from inference.findings.segmentation import Labels, label_voxels
from inference.imaging.intensity import scale_intensity
from inference.imaging.resampling import to_network_grid
from inference.imaging.volume import Volume, load_volume
from inference.tasks.examination import Case, Examination
from storage.domain.result import EvidenceRole


def examine(case: Case, predictor: Predictor, manifest: SegmentationManifest) -> Examination:
    """Outline and measure what the manifest names in the volume of a series.

    Raises:
        UnusableInput: the series cannot be used as a volume.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    volume = load_volume(case.series.instances, case.series.headers)
    labels = segment(volume, predictor, manifest)
    findings = measure(volume, labels, manifest.outputs, manifest.identity.name, case.tracking_uid)
    context = case.context(volume.headers)
    segments = [described.description() for described in manifest.outputs.segments]
    evidence = build_evidence(context, labels, segments, findings, case.wanted)
    outlined = next((one for one in evidence if one.role is EvidenceRole.SEGMENTATION), None)
    return Examination(context, findings, evidence, overlay_pictures(volume, outlined, context.short_mark))


def segment(volume: Volume, predictor: Predictor, manifest: SegmentationManifest) -> Labels:
    """Preprocess, predict and label one volume; training evaluates an algorithm by this same path.

    Raises:
        UnusableInput: the volume shows nothing.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    preprocessing = manifest.preprocessing
    resampled, mapping = to_network_grid(volume, preprocessing)
    output = predict_volume(predictor, scale_intensity(resampled, preprocessing.intensity), manifest.inference)
    return label_voxels(output, manifest.outputs.segments, mapping, anti_aliasing=preprocessing.anti_aliasing)
