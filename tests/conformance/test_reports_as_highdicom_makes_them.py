"""Our reports, of which highdicom sees the first group only, are those that it makes when it sees them all."""

from io import BytesIO

import pytest
from highdicom.sr import Comprehensive3DSR, ComprehensiveSR, EnhancedSR, MeasurementReport
from pydicom import Dataset, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.sources import stand_in
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.every_evidence import Evidence, evidence_of_source, groups_of
from tests.conformance.source_modalities import SERIES

CLASSES = {
    EvidenceForm.COMPREHENSIVE_3D: Comprehensive3DSR,
    EvidenceForm.COMPREHENSIVE: ComprehensiveSR,
    EvidenceForm.ENHANCED: EnhancedSR,
}
# Which of its elements a constructor makes of the content and the evidence.
MADE = (
    "ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentTemplateSequence", "ContentSequence",
    "CurrentRequestedProcedureEvidenceSequence", "CompletionFlag", "VerificationFlag", "PreliminaryFlag",
    "PerformedProcedureCodeSequence", "SOPClassUID",
)  # fmt: skip


@pytest.fixture(scope="module", params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Each modality and geometry in turn."""
    return evidence_of_source(request.param)


@pytest.mark.parametrize("form", list(CLASSES))
def test_highdicom_makes_the_same_of_the_whole_content(evidence: Evidence, form: EvidenceForm) -> None:
    """It takes every group, finds evidence for every reference, and each element is the same."""
    report = evidence.of_form(form)
    assert len(groups_of(report)) > 1
    whole = CLASSES[form](
        evidence=[*map(stand_in, evidence.context.sources), _segmentation(evidence)],
        content=MeasurementReport.from_sequence([_root(report)]),
        series_instance_uid="1.2.3",
        series_number=1,
        sop_instance_uid="1.2.4",
        instance_number=1,
        manufacturer="Overread",
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )

    for keyword in MADE:
        assert report.get(keyword) == whole.get(keyword), keyword


def test_the_bytes_are_those_that_pydicom_writes(evidence: Evidence) -> None:
    """Each segmentation and each report, read to its last element and written again, is the same file."""
    for one, data_set in evidence.read:
        if one.role in (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT):
            assert _written_again(data_set) == one.part10, one.form


def _segmentation(evidence: Evidence) -> Dataset:
    return next(data_set for one, data_set in evidence.read if one.role is EvidenceRole.SEGMENTATION)


def _root(report: Dataset) -> Dataset:
    root = Dataset()
    for keyword in MADE[:5]:
        root[keyword] = report[keyword]
    return root


def _written_again(data_set: Dataset) -> bytes:
    read = Dataset()
    for element in data_set:
        read[element.tag] = element
    for _ in read.iterall():
        pass
    read.file_meta = data_set.file_meta
    buffer = BytesIO()
    dcmwrite(buffer, read, enforce_file_format=True)
    return buffer.getvalue()
