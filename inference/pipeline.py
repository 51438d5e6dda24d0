"""One job told as a story: select a series, examine it as the algorithm's task asks, report."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Classifier, Detector, Predictor
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.conclusion import NotAnalysed
from inference.errors import UnusableInput
from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.report_text import report_text
from inference.evidence.result_uids import USUAL_NAMING, ResultIdentity, SeriesNaming
from inference.imaging.series_selection import AcceptedSeries, select_series
from inference.monitoring.job_watch import JobWatch
from inference.monitoring.overlap import overlaps
from inference.monitoring.summary import job_statistics
from inference.stages import work_on
from inference.tasks import classification, detection, segmentation, volume_detection
from inference.tasks.examination import Case, Examination, instances_of
from storage.domain.earlier_result import EarlierResult
from storage.domain.job import Reason, Refusal
from storage.domain.job_statistics import Stage
from storage.domain.result import ActiveOutline, EvidenceForm, NewResult, stand_ins
from storage.domain.study import StableStudy


class Network(Predictor, Classifier, Detector, Protocol):
    """A resident session; which of its calls is right, the manifest's task says."""


@dataclass(frozen=True, slots=True)
class ReadyAlgorithm:
    """A verified algorithm with its resident session and the execution provider that really runs it."""

    verified: VerifiedAlgorithm
    network: Network
    provider: str


def analyse(
    study: StableStudy,
    algorithm: ReadyAlgorithm,
    started_at: datetime,
    site_secret: bytes,
    wanted: frozenset[EvidenceForm] = DEFAULT_FORMS,
    naming: SeriesNaming = USUAL_NAMING,
    beside: ActiveOutline | None = None,
    earlier: Sequence[EarlierResult] = (),
) -> NewResult | NotAnalysed:
    """Run one algorithm on one revision of a study.

    ``started_at`` is the time of the job's first claim; the evidence repeats it, so that every attempt at the
    job makes the same evidence. ``wanted`` are the forms of evidence that destinations may be sent, ``naming`` is
    how the site calls their series. ``beside`` is what the active version outlined, where this one is its shadow: how
    far they overlap stands among the scores. ``earlier`` are results on earlier revisions, newest first, of which the
    report names the one that it follows.

    Raises:
        UnusableInput: the study has a series for this algorithm, but it cannot be used.
        PredictionFailed: the runtime could not do it.
        InvalidOutput: the network's output is no result.
    """
    manifest = algorithm.verified.manifest
    watch = JobWatch()
    with watch.stage(Stage.SELECT):
        selection = select_series(study.instances, manifest)
    series = selection.accepted
    if series is None:
        return _not_analysed(selection.refusals, manifest.title)
    work_on(series.series_instance_uid)
    identity = _result_identity(study, series, algorithm, site_secret, naming)
    case = Case(series, algorithm.verified.identity, started_at, identity, wanted, watch, tuple(earlier))
    try:
        with watch.stage(Stage.ENCODE):  # what of it belongs to another stage is counted there
            examined = _examine(case, algorithm)
    except UnusableInput as fault:
        fault.refusals = (*selection.refusals, Refusal(series.series_instance_uid, fault.reason))
        raise
    repeating = stand_ins(one.form for one in examined.evidence)
    told = [one for one in examined.evidence if one.form not in repeating]
    statistics = job_statistics(watch, examined.context.sources, examined.findings, manifest, site_secret)
    if beside is not None:  # outside of the stages, so that the times of both versions are of the same work
        statistics.scores.update(overlaps(examined.evidence, beside))
    predecessor = examined.context.predecessor
    return NewResult(
        series_instance_uid=series.series_instance_uid,
        input_sop_instance_uids=instances_of(examined.context.sources),
        artifact_sha256=algorithm.verified.artifact_sha256,
        execution_provider=algorithm.provider,
        findings=examined.findings,
        report_text=report_text(examined.context, examined.findings, told),
        evidence=examined.evidence,
        pictures=examined.pictures,
        statistics=statistics,
        predecessor_id=predecessor.result_id if predecessor is not None else None,
        other_series=(*selection.ranked_lower, *selection.refusals),
    )


def _examine(case: Case, algorithm: ReadyAlgorithm) -> Examination:
    manifest = algorithm.verified.manifest
    if isinstance(manifest, ClassificationManifest):
        return classification.examine(case, algorithm.network, manifest)
    if isinstance(manifest, DetectionManifest):
        return detection.examine(case, algorithm.network, manifest)
    if isinstance(manifest, VolumeDetectionManifest):
        return volume_detection.examine(case, algorithm.network, manifest)
    return segmentation.examine(case, algorithm.network, manifest)


def _not_analysed(refusals: tuple[Refusal, ...], title: str) -> NotAnalysed:
    if len(refusals) == 1:
        return NotAnalysed(refusals[0].reason, refusals)
    return NotAnalysed(
        Reason("no-series-accepted", f"None of the {len(refusals)} series of the study is one that {title} takes."),
        refusals,
    )


def _result_identity(
    study: StableStudy, series: AcceptedSeries, algorithm: ReadyAlgorithm, site_secret: bytes, naming: SeriesNaming
) -> ResultIdentity:
    return ResultIdentity(
        site_secret=site_secret,
        study_instance_uid=study.study_instance_uid,
        input_sha256s=tuple(series.instances[uid].sha256 for uid in instances_of(series.headers)),
        artifact_sha256=algorithm.verified.artifact_sha256,
        manifest_sha256=algorithm.verified.manifest_sha256,
        naming=naming,
    )
