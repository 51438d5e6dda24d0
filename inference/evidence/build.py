"""Findings into evidence: the one door to this room."""

from collections.abc import Sequence

from inference.evidence.classification_report import build_classification_report
from inference.evidence.context import EvidenceContext
from inference.evidence.further import Classified, Segmented, further_evidence
from inference.evidence.key_image_picture import Picture
from inference.evidence.measurement_report import build_measurement_report
from inference.evidence.secondary_capture import build_secondary_captures
from inference.evidence.segment_findings import Labels, pair
from inference.evidence.segmentation import build_segmentation
from inference.evidence.sources import require_one_patient
from inference.findings.classification import KeyImage
from inference.findings.segment import SegmentDescription
from storage.domain.finding import Finding
from storage.domain.result import EvidenceObject

__all__ = [
    "Classified",
    "EvidenceContext",
    "Segmented",
    "build_classification_evidence",
    "build_evidence",
    "further_evidence",
]


def build_classification_evidence(
    context: EvidenceContext, keys: Sequence[KeyImage], drawn: Sequence[Picture]
) -> tuple[EvidenceObject, ...]:
    """The DICOM objects of one classification, in the order of delivery: a picture per class, then the report.

    ``drawn`` are the pictures of ``keys``, whose indices are places in ``context.sources``. The same arguments give
    the same bytes at any time.

    Raises:
        UnusableInput: ``patient-mix``, when the sources differ in patient, study, series or frame of reference.
    """
    require_one_patient(context.sources)
    return (*build_secondary_captures(context, keys, drawn), build_classification_report(context, keys))


def build_evidence(
    context: EvidenceContext,
    labels: Labels,
    segments: Sequence[SegmentDescription],
    findings: Sequence[Finding],
) -> tuple[EvidenceObject, ...]:
    """The DICOM objects of one segmentation, in the order of delivery: segmentation, then report.

    ``labels`` has one value per voxel as (slice, row, column), slices in the order of ``context.sources``, 0 for
    background. Each segment has exactly one finding, the one with its type as kind and with its site, also when
    it has no voxel. A Segmentation without a frame is not allowed, so when no segment has a voxel the report alone
    is made: it says of each finding that it is absent. Segments without a voxel beside others are left out of the
    segmentation, whose Segment Numbers have no gaps, and are absent in the report. The same arguments give the
    same bytes at any time.

    Raises:
        UnusableInput: ``patient-mix``, when the sources differ in patient, study, series or frame of reference.
        ValueError: labels, segments, findings and sources do not fit together.
    """
    sources = context.sources
    require_one_patient(sources)
    if labels.shape != (len(sources), int(sources[0].Rows), int(sources[0].Columns)):
        raise ValueError("The label array does not have the shape of the source images.")
    found = pair(labels, segments, findings)
    segmentation = build_segmentation(context, labels, found) if any(one.number for one in found) else None
    report = build_measurement_report(context, labels, found, segmentation)
    return (report,) if segmentation is None else (segmentation, report)
