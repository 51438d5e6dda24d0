"""The summary of a result as an Encapsulated PDF, for archives that take no report (PS3.3 section A.45.1)."""

import hashlib
from collections.abc import Sequence

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept as ItemCode
from pydicom.tag import Tag
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from inference.evidence.attributes import (
    MANUFACTURER,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.basic_text_report import DIAGNOSTIC_IMAGING_REPORT
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.explicit_vr import sequence
from inference.evidence.frame_items import instance_items
from inference.evidence.shown_image import Picture
from inference.evidence.summary import Summary
from inference.evidence.summary_pdf import summary_pdf
from storage.domain.result import EvidenceObject, EvidenceRole

_MIME_TYPE = "application/pdf"
_SOURCES = Tag("SourceInstanceSequence")


def build_document(context: EvidenceContext, summary: Summary, pictures: Sequence[Picture]) -> EvidenceObject:
    """The summary with the first of the pictures."""
    uid = context.identity.uid("document")
    document = SOPClass(
        study_instance_uid=str(context.sources[0].StudyInstanceUID),
        series_instance_uid=context.identity.uid("document-series"),
        series_number=1,
        sop_instance_uid=uid,
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    document.ContributingEquipmentSequence = [algorithm_equipment(context)]
    document.ConversionType = "WSD"
    document.AcquisitionDateTime = None  # the document speaks of many images
    document.BurnedInAnnotation = "NO"  # nothing in it identifies the patient
    document.VerificationFlag = "UNVERIFIED"
    document.DocumentTitle = f"{summary.title} by {context.algorithm.name} {context.algorithm.version}. {context.mark}"
    document.ConceptNameCodeSequence = [ItemCode.from_code(DIAGNOSTIC_IMAGING_REPORT)]
    pdf = summary_pdf(
        summary,
        pictures,
        context.local_started_at,
        hashlib.sha256(uid.encode()).hexdigest()[:32],
        f"Overread {service_version()}",
    )
    document.MIMETypeOfEncapsulatedDocument = _MIME_TYPE
    document.EncapsulatedDocument = pdf + bytes(len(pdf) % 2)
    document.EncapsulatedDocumentLength = len(pdf)
    sources = {_SOURCES: sequence(_SOURCES, instance_items(context.sources))}
    return complete(document, context, EvidenceRole.DOCUMENT, series_description(context, "summary"), encoded=sources)
