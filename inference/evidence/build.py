"""Findings into evidence: the one door to this room.

``wanted`` names the forms that some destination may be sent; of these, each one that has an encoder here is made. A
form that only stands in for another is another object, with UIDs of its own.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from inference.evidence.basic_text_report import build_basic_text_report
from inference.evidence.classification_report import build_classification_reports
from inference.evidence.context import EvidenceContext
from inference.evidence.fractional import build_fractional
from inference.evidence.further import AVAILABLE, Analysed, Classified, Segmented, further_evidence
from inference.evidence.label_map import build_label_map
from inference.evidence.measurement_report import build_measurement_reports
from inference.evidence.segment_findings import Labels, pair
from inference.evidence.segmentation import build_segmentation, build_segmentation_per_segment
from inference.evidence.shown_image import Picture
from inference.evidence.sources import require_one_patient
from inference.findings.classification import KeyImage
from inference.findings.segment import SegmentDescription
from inference.findings.segmentation import Probabilities
from storage.domain.finding import Finding
from storage.domain.result import DELIVERY_ORDER, PER_SEGMENT, EvidenceForm, EvidenceObject, EvidenceRole
from storage.domain.viewer_profile import wanted_forms

# What takes long without Python's lock, and little memory.
_BESIDE = frozenset({EvidenceRole.DOCUMENT})

DEFAULT_FORMS = wanted_forms(())  # with no destination: a result in its first forms, for ourselves

__all__ = [
    "DEFAULT_FORMS",
    "Classified",
    "EvidenceContext",
    "Segmented",
    "build_classification_evidence",
    "build_evidence",
    "further_evidence",
]


def build_classification_evidence(
    context: EvidenceContext,
    keys: Sequence[KeyImage],
    drawn: Sequence[Picture],
    wanted: Container[EvidenceForm] = DEFAULT_FORMS,
) -> tuple[EvidenceObject, ...]:
    """The DICOM objects of one classification, in the order of delivery: a picture per class and the summary,
    then the report.

    What else is wanted stands in its place among them.

    ``drawn`` are the pictures of ``keys``, whose indices are places in ``context.sources``. The same arguments give
    the same bytes at any time.

    Raises:
        UnusableInput: ``patient-mix``, when the sources differ in patient, study, series or frame of reference.
    """
    require_one_patient(context.sources)
    with _further(Classified(context, keys, drawn), wanted) as further:
        reports = build_classification_reports(context, keys, wanted)
        text = _text(context, [key.finding for key in keys], wanted)
        return _in_order(*reports, *text, *further())


def build_evidence(
    context: EvidenceContext,
    labels: Labels,
    segments: Sequence[SegmentDescription],
    findings: Sequence[Finding],
    wanted: Container[EvidenceForm] = DEFAULT_FORMS,
    probabilities: Probabilities | None = None,
    outlined: Callable[[EvidenceObject | None], object] = lambda _: None,
) -> tuple[EvidenceObject, ...]:
    """The DICOM objects of one segmentation, in the order of delivery: segmentation, pictures, report.

    What else is wanted stands in its place among them.

    ``labels`` has one value per voxel as (slice, row, column), slices in the order of ``context.sources``, 0 for
    background. Each segment has exactly one finding, the one with its type as kind and with its site, also when
    it has no voxel. A Segmentation without a frame is not allowed, so when no segment has a voxel the report alone
    is made: it says of each finding that it is absent. Segments without a voxel beside others are left out of the
    segmentation, whose Segment Numbers have no gaps, and are absent in the report. ``probabilities`` are what the
    labels were made from; without them nothing is made that shows them. ``outlined`` is called with the segmentation
    before the rest is made, so that what is drawn from it can go on beside; with ``None`` where there is none. The same
    arguments give the same bytes at any time.

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
    outlined(segmentation)
    result = Segmented(context, labels, found, probabilities)
    with _further(result, wanted) as further:
        reports = build_measurement_reports(context, labels, found, segmentation, wanted)
        others = () if segmentation is None else (segmentation, *_other_forms(result, wanted))
        text = _text(context, findings, wanted)
        return _in_order(*others, *reports, *text, *further())


def _other_forms(result: Segmented, wanted: Container[EvidenceForm]) -> Iterator[EvidenceObject]:
    """What stands in for the segmentation; at least one segment has a voxel."""
    if any(form in wanted for form in PER_SEGMENT.values()):
        yield from build_segmentation_per_segment(result.context, result.labels, result.found)
    if EvidenceForm.LABEL_MAP in wanted:
        yield build_label_map(result.context, result.labels, result.found)
    if EvidenceForm.FRACTIONAL in wanted and result.probabilities is not None:
        yield from build_fractional(result.context, result.found, result.probabilities)


def _text(
    context: EvidenceContext, findings: Sequence[Finding], wanted: Container[EvidenceForm]
) -> tuple[EvidenceObject, ...]:
    return (build_basic_text_report(context, findings),) if EvidenceForm.BASIC_TEXT in wanted else ()


@contextmanager
def _further(result: Analysed, wanted: Container[EvidenceForm]) -> Iterator[Callable[[], list[EvidenceObject]]]:
    """What else is wanted, when it is asked for; a document is made meanwhile, because compressing lets others run."""
    with ThreadPoolExecutor(1, "document") as beside:
        roles = [role for role in AVAILABLE if EvidenceForm(role) in wanted]
        begun = {role: beside.submit(further_evidence, result, role) for role in roles if role in _BESIDE}

        def made() -> list[EvidenceObject]:
            rest = {role: further_evidence(result, role) for role in roles if role not in begun}
            return [one for role in roles for one in (begun[role].result() if role in begun else rest[role])]

        yield made


def _in_order(*evidence: EvidenceObject) -> tuple[EvidenceObject, ...]:
    return tuple(sorted(evidence, key=lambda one: DELIVERY_ORDER[one.role]))
