"""The notes of one job as they are kept."""

import math
import re
from collections.abc import Iterable, Sequence

from pydicom import Dataset

from inference.monitoring.acquisition import acquisition
from inference.monitoring.job_watch import JobWatch
from storage.domain.finding import Finding
from storage.domain.job_statistics import JobStatistics, ValueStatistics


def job_statistics(
    watch: JobWatch, headers: Sequence[Dataset], findings: Iterable[Finding], algorithm: str, site_secret: bytes
) -> JobStatistics:
    """What is kept of one analysis; ``headers`` are those of the analysed images, ``algorithm`` is its name."""
    return JobStatistics(
        acquisition(headers, site_secret),
        {place: values for place, tally in watch.tallies.items() if is_finite(values := tally.statistics())},
        scores(findings, algorithm),
        watch.seconds,
    )


def is_finite(values: ValueStatistics) -> bool:
    """Whether all of it are numbers; a spread that is none is not kept, for a database cannot hold it."""
    return all(map(math.isfinite, (values.minimum, values.maximum, values.mean, values.sd, *values.percentiles)))


def scores(findings: Iterable[Finding], algorithm: str) -> dict[str, float]:
    """Every number that was found, by a name that is the same in each job of the algorithm.

    Of several findings that differ in their number only, such as detections, the highest counts, beside how many they
    are; each job then gives one value of each name, whatever it found.
    """
    found: dict[str, float] = {}
    counted: dict[str, int] = {}
    for finding in findings:
        named = finding.tracking_identifier.removeprefix(algorithm).strip()
        label = finding.classification.label if finding.classification else re.sub(r"\s*[0-9]+$", "", named)
        if label != named and not finding.classification:
            counted[label] = counted.get(label, 0) + 1
        for name, value in _numbers(finding, label):
            if math.isfinite(value):
                found[name] = max(value, found.get(name, value))
    return found | {f"number of {label}": float(count) for label, count in counted.items()}


def _numbers(finding: Finding, label: str) -> Iterable[tuple[str, float]]:
    if finding.classification is not None:
        yield f"probability of {label}", finding.classification.probability
    for measurement in finding.measurements:
        derivation = f"{measurement.derivation.meaning} " if measurement.derivation else ""
        yield f"{derivation}{measurement.name.meaning} of {label} ({measurement.unit.value})", measurement.value
