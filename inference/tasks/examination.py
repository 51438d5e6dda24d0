"""What goes into one examination of a series, and what comes out of it, whatever the task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.algorithms.identity import AlgorithmIdentity
from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.context import EvidenceContext
from inference.evidence.result_uids import ResultIdentity
from inference.imaging.series_selection import AcceptedSeries
from inference.monitoring.job_watch import JobWatch
from storage.domain.earlier_result import EarlierResult, predecessor_of
from storage.domain.finding import Finding
from storage.domain.result import EvidenceForm, EvidenceObject, ResultPicture


@dataclass(frozen=True, slots=True)
class Case:
    """One accepted series and the job around it; ``wanted`` are the forms in which it is to be told.

    ``watch`` takes the notes for monitoring. ``earlier`` are the results that this one may follow, newest first.
    """

    series: AcceptedSeries
    algorithm: AlgorithmIdentity
    started_at: datetime
    identity: ResultIdentity
    wanted: frozenset[EvidenceForm] = DEFAULT_FORMS
    watch: JobWatch = field(default_factory=JobWatch, compare=False, repr=False)
    earlier: tuple[EarlierResult, ...] = ()

    def context(self, sources: Sequence[Dataset], values: Callable[[int], NDArray[np.float32]]) -> EvidenceContext:
        """What evidence on these images with these pixels is built from."""
        predecessor = predecessor_of(instances_of(sources), self.earlier)
        return EvidenceContext(tuple(sources), values, self.algorithm, self.started_at, self.identity, predecessor)

    def tracking_uid(self, label: str) -> str:
        """The UID that ties together what speaks of one finding."""
        return self.identity.uid(f"tracking {label}")


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found on the images of ``context``, and what tells of it."""

    context: EvidenceContext
    findings: tuple[Finding, ...]
    evidence: tuple[EvidenceObject, ...]
    pictures: tuple[ResultPicture, ...]


def instances_of(images: Sequence[Dataset]) -> tuple[str, ...]:
    """The SOP Instance UIDs of images, once for all frames of an instance."""
    return tuple(dict.fromkeys(str(image.SOPInstanceUID) for image in images))
