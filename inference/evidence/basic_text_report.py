"""The findings as sentences in a Basic Text SR (PS3.3 section A.35.1), for archives that take no richer report.

The class has neither numbers nor coordinates, so its root is no Measurement Report: it is a diagnostic imaging report
with one section, whose sentences are those of the report for a terminal.
"""

from collections.abc import Sequence
from textwrap import wrap

from highdicom.sr import CodedConcept as ItemCode
from highdicom.sr import (
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    LanguageOfContentItemAndDescendants,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from highdicom.sr.value_types import ContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.class_words import examined_parameter
from inference.evidence.context import EvidenceContext
from inference.evidence.evidence_list import EVIDENCE, evidence_list, named_images
from inference.evidence.predecessor import predecessor_words
from inference.evidence.report_parts import device_observer
from inference.evidence.report_text import finding_sentence
from storage.domain.finding import Finding
from storage.domain.result import EvidenceObject, EvidenceRole

DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
_LINE = 90  # characters; OHIF shows a longer line without its end
_LANGUAGE = ItemCode("en-US", "RFC5646", "English (United States)")


class _TextSR(EnhancedSR):
    """highdicom has no class of this name; the modules are those of Enhanced SR, the content is what differs."""

    def copy_patient_and_study_information(self, _: Dataset) -> None:
        """Nothing yet: `attributes.complete` copies them, also from images of a class that highdicom does not know."""


def build_basic_text_report(context: EvidenceContext, findings: Sequence[Finding]) -> EvidenceObject:
    """One sentence for each finding, behind one on what was examined where that is not all."""
    told = [f"{words}." for words in examined_parameter(findings[0], context.sources)]
    told += [finding_sentence(finding, context) for finding in findings]
    if (followed := predecessor_words(context)) is not None:
        told.append(f"This report follows {followed}.")
    sentences = ["\r\n".join(wrap(sentence, _LINE)) for sentence in told]
    items = [text_item(codes.DCM.Finding, sentence) for sentence in sentences]
    return basic_text(
        context, "basic-text", [section(codes.DCM.Findings, items)], series_description(context, "report")
    )


def basic_text(
    context: EvidenceContext,
    name: str,
    sections: Sequence[ContainerContentItem],
    description: str,
    coding_schemes: Sequence[Dataset] = (),
) -> EvidenceObject:
    """A Basic Text SR of these sections; ``name`` tells its UIDs from those of other reports.

    ``coding_schemes`` name the private schemes of its codes (0008,0110).
    """
    root = ContainerContentItem(name=DIAGNOSTIC_IMAGING_REPORT, is_content_continuous=False)
    root.ContentSequence = ContentSequence(
        [
            *LanguageOfContentItemAndDescendants(language=_LANGUAGE),
            *ObservationContext(observer_device_context=device_observer(context)),
            *sections,
        ]
    )
    report = _TextSR(
        evidence=named_images(context, [root]),
        content=root,
        series_instance_uid=context.identity.uid(f"report-series {name}"),
        series_number=1,
        sop_instance_uid=context.identity.uid(f"report {name}"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    if coding_schemes:
        report.CodingSchemeIdentificationSequence = list(coding_schemes)
    del report[EVIDENCE]
    evidence = {EVIDENCE: evidence_list(context)}
    return complete(report, context, EvidenceRole.REPORT, description, encoded=evidence)


def section(name: Code, items: Sequence[ContentItem]) -> ContainerContentItem:
    """One heading with what stands below it."""
    container = ContainerContentItem(
        name=name, is_content_continuous=False, relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence(items)
    return container


def text_item(name: Code, text: str) -> TextContentItem:
    """One sentence."""
    return TextContentItem(name=name, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
