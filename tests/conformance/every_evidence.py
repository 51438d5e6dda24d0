"""What comes of each kind of source: every form of every result, as the files that would be sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage, SegmentationStorage

from inference.evidence.build import EvidenceContext, Segmented, build_evidence
from inference.evidence.segment_findings import Labels
from storage.domain.earlier_result import EarlierResult, SentObject, StoredReport
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.source_modalities import segmented
from tests.conformance.source_series import LIVER, NODULE

EVERY_FORM = frozenset(EvidenceForm)
BINARY_FORMS = (EvidenceForm.BINARY, EvidenceForm.BINARY_UNALIGNED)
MEASUREMENT_FORMS = (EvidenceForm.COMPREHENSIVE_3D, EvidenceForm.COMPREHENSIVE, EvidenceForm.ENHANCED)
SEGMENTS = (LIVER, NODULE)

# An earlier result on 4 images, which had a report in two forms, and what of it arrived where.
EARLIER_REPORTS = {
    one.form: one
    for one in (
        StoredReport(EvidenceForm.COMPREHENSIVE_3D, Comprehensive3DSRStorage, "1.2.1", "1.2.2"),
        StoredReport(EvidenceForm.ENHANCED, EnhancedSRStorage, "1.2.3", "1.2.4"),
    )
}
EARLIER_SENT = (
    SentObject(SegmentationStorage, "1.2.5", "1.2.6", ("archive",)),
    SentObject(Comprehensive3DSRStorage, "1.2.1", "1.2.2", ("archive", "pacs")),
)


@dataclass(frozen=True)
class Evidence:
    """One job and all that came of it."""

    result: Segmented
    objects: tuple[EvidenceObject, ...]

    @property
    def context(self) -> EvidenceContext:
        """The job around the findings, with its source images."""
        return self.result.context

    @property
    def labels(self) -> Labels:
        """What the algorithm found, as (slice, row, column)."""
        return self.result.labels

    @cached_property
    def read(self) -> list[tuple[EvidenceObject, Dataset]]:
        """Each object with what is read back from its bytes."""
        return [(one, dcmread(BytesIO(one.part10))) for one in self.objects]

    def of_role(self, role: EvidenceRole) -> list[Dataset]:
        """The objects of one role in all their forms."""
        return [data_set for one, data_set in self.read if one.role is role]

    def of_form(self, *forms: EvidenceForm) -> Dataset:
        """The one object in one of these forms."""
        (data_set,) = [data_set for one, data_set in self.read if one.form in forms]
        return data_set

    def measurement_reports(self) -> list[Dataset]:
        """The reports with TID 1500 as root, in each class."""
        return [self.of_form(form) for form in MEASUREMENT_FORMS]


def late_evidence_of(result: Segmented) -> Evidence:
    """All objects of this result, where it follows one an hour before."""
    before = result.context.started_at - timedelta(hours=1)
    reports = tuple(EARLIER_REPORTS.values())
    earlier = EarlierResult(7, 1, before, 4, "c" * 64, reports, same_version=True, sent=EARLIER_SENT)
    return evidence_of(replace(result, context=replace(result.context, predecessor=earlier)))


def evidence_of(result: Segmented) -> Evidence:
    """All objects of this result."""
    findings = [one.finding for one in result.found]
    return Evidence(
        result, build_evidence(result.context, result.labels, SEGMENTS, findings, EVERY_FORM, result.probabilities)
    )


def evidence_of_source(name: str) -> Evidence:
    """All objects of the source series of this name."""
    return evidence_of(segmented(name))


def content_items(item: Dataset) -> Iterator[Dataset]:
    """Every content item below this one (PS3.3 section C.17.3)."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from content_items(child)


def groups_of(report: Dataset) -> list[Dataset]:
    """The measurement groups of a report (PS3.16 TID 1501, 1411)."""
    return [item for item in content_items(report) if concept(item) == "125007"]


def concept(item: Dataset) -> str:
    """The Code Value of a content item's concept name; empty where it has none."""
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def child(group: Dataset, code: str) -> Dataset:
    """The one item of this concept directly below ``group``."""
    (found,) = [item for item in group.ContentSequence if concept(item) == code]
    return found
