"""One job told as a story: read, select, predict, measure, report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Predictor
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.errors import InferenceError
from inference.evidence.build import build_evidence
from inference.evidence.context import EvidenceContext
from inference.evidence.overlay_pictures import overlay_pictures
from inference.evidence.report_text import report_text
from inference.evidence.result_uids import ResultIdentity
from inference.findings.measurement import measure
from inference.findings.segmentation import Labels, label_voxels
from inference.imaging.intensity import scale_intensity
from inference.imaging.resampling import to_network_grid
from inference.imaging.series_selection import AcceptedSeries, select_series
from inference.imaging.volume import Volume, load_volume
from storage.domain.job import Reason, Refusal
from storage.domain.result import EvidenceObject, EvidenceRole, NewResult
from storage.domain.study import StableStudy


@dataclass(frozen=True, slots=True)
class ReadyAlgorithm:
    """A verified algorithm with its resident session and the execution provider that really runs it."""

    verified: VerifiedAlgorithm
    predictor: Predictor
    provider: str


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """No series of the study meets the algorithm's input contract."""

    reason: Reason
    refusals: tuple[Refusal, ...]


def analyse(
    study: StableStudy, algorithm: ReadyAlgorithm, started_at: datetime, site_secret: bytes
) -> NewResult | NotAnalysed:
    """Run one algorithm on one revision of a study.

    ``started_at`` is the time of the job's first claim; the evidence repeats it, so that every attempt at the
    job makes the same evidence.

    Raises:
        UnusableInput: the study has a series for this algorithm, but it cannot be used.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    manifest = algorithm.verified.manifest
    if isinstance(manifest, ClassificationManifest):
        raise InferenceError("This release verifies classification algorithms, but does not run them yet.")
    selection = select_series(study.instances, manifest)
    if selection.accepted is None:
        return _not_analysed(selection.refusals, manifest.title)
    volume = load_volume(selection.accepted.instances, selection.accepted.headers)
    labels = segment(volume, algorithm.predictor, manifest)
    identity = _result_identity(study, selection.accepted, algorithm, site_secret)
    findings = measure(
        volume, labels, manifest.outputs, manifest.identity.name, lambda label: identity.uid(f"tracking {label}")
    )
    context = EvidenceContext(volume.headers, algorithm.verified.identity, started_at, identity)
    segments = [described.description() for described in manifest.outputs.segments]
    evidence = build_evidence(context, labels, segments, findings)
    return NewResult(
        series_instance_uid=selection.accepted.series_instance_uid,
        input_sop_instance_uids=tuple(str(header.SOPInstanceUID) for header in volume.headers),
        artifact_sha256=algorithm.verified.artifact_sha256,
        execution_provider=algorithm.provider,
        findings=findings,
        report_text=report_text(context, findings, evidence),
        evidence=evidence,
        pictures=overlay_pictures(volume, _of_role(evidence, EvidenceRole.SEGMENTATION), context.short_mark),
    )


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


def _of_role(evidence: Sequence[EvidenceObject], role: EvidenceRole) -> EvidenceObject | None:
    return next((one for one in evidence if one.role is role), None)


def _not_analysed(refusals: tuple[Refusal, ...], title: str) -> NotAnalysed:
    if len(refusals) == 1:
        return NotAnalysed(refusals[0].reason, refusals)
    return NotAnalysed(
        Reason("no-series-accepted", f"None of the {len(refusals)} series of the study is one that {title} takes."),
        refusals,
    )


def _result_identity(
    study: StableStudy, series: AcceptedSeries, algorithm: ReadyAlgorithm, site_secret: bytes
) -> ResultIdentity:
    return ResultIdentity(
        site_secret=site_secret,
        study_instance_uid=study.study_instance_uid,
        input_sha256s=tuple(series.instances[str(header.SOPInstanceUID)].sha256 for header in series.headers),
        artifact_sha256=algorithm.verified.artifact_sha256,
        manifest_sha256=algorithm.verified.manifest_sha256,
    )
