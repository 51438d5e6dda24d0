"""The notes of one job as they are kept."""

import math
import re
from collections.abc import Collection, Iterable, Sequence

from pydicom import Dataset

from inference.algorithms.manifest import Manifest
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.monitoring.acquisition import acquisition
from inference.monitoring.job_watch import JobWatch
from storage.domain.finding import Finding
from storage.domain.job_statistics import JobStatistics, ValueStatistics


def job_statistics(
    watch: JobWatch,
    headers: Sequence[Dataset],
    findings: Iterable[Finding],
    manifest: Manifest,
    site_secret: bytes,
) -> JobStatistics:
    """What is kept of one analysis; ``headers`` are those of the analysed images."""
    sought = manifest.outputs.segments if isinstance(manifest, SegmentationManifest) else manifest.outputs.classes
    return JobStatistics(
        acquisition(headers, site_secret),
        {place: values for place, values in watch.spreads().items() if is_finite(values)},
        scores(findings, manifest.identity.name, [one.label for one in sought]),
        watch.seconds,
    )


def is_finite(values: ValueStatistics) -> bool:
    """Whether all of it are numbers; a spread that is none is not kept, for a database cannot hold it."""
    return all(map(math.isfinite, (values.minimum, values.maximum, values.mean, values.sd, *values.percentiles)))


def scores(findings: Iterable[Finding], algorithm: str, labels: Collection[str]) -> dict[str, float]:
    """Every number that was found, by a name that is the same in each job of the algorithm.

    ``labels`` are what the manifest calls the things it looks for. Of several findings of one label, numbered as
    detections are, the highest counts, and how many they are; of a label without any the number is 0.
    """
    found: dict[str, float] = {}
    counted = dict.fromkeys(labels, 0)
    numbered = set(labels)
    for finding in findings:
        named = finding.tracking_identifier.removeprefix(algorithm).strip()
        label = _label(named, labels)
        found_any = finding.detection is None or bool(finding.detection.boxes)
        counted[label] = counted.get(label, 0) + found_any
        if label == named and finding.detection is None:
            numbered.discard(label)
        for name, value in _numbers(finding, label):
            if math.isfinite(value):
                found[name] = max(value, found.get(name, value))
    return found | {f"number of {label}": float(counted[label]) for label in sorted(numbered)}


def _label(named: str, labels: Collection[str]) -> str:
    """The label that a finding is of: its own name, or what stands before its number."""
    before = re.sub(r"\s+[0-9]+$", "", named)
    return before if named not in labels and before in labels else named


def _numbers(finding: Finding, label: str) -> Iterable[tuple[str, float]]:
    if finding.classification is not None:
        yield f"probability of {label}", finding.classification.probability
    for measurement in finding.measurements:
        derivation = f"{measurement.derivation.meaning} " if measurement.derivation else ""
        yield f"{derivation}{measurement.name.meaning} of {label} ({measurement.unit.value})", measurement.value
