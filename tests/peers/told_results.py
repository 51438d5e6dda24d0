"""A result as receivers of notifications are told it: with everything that a message may have to say."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Classification, Finding, Measurement
from storage.domain.notification import NotificationRequest, ReportReference, ToldResult

REPORT = ReportReference("1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.9", "1.2.3.8")
EARLIER = ReportReference("1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.7", "1.2.3.6")
STORED_AT = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)

BRAIN = Finding(
    CodedConcept("12738006", "SCT", "Brain"),
    CodedConcept("12738006", "SCT", "Brain"),
    "brain",
    "2.25.1",
    (
        Measurement(
            CodedConcept("118565006", "SCT", "Volume"), 0.00001, CodedConcept("cm3", "UCUM", "cubic centimeter")
        ),
        Measurement(
            CodedConcept("112031", "DCM", "Attenuation Coefficient"),
            -37.25,
            CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"),
            CodedConcept("373098007", "SCT", "Mean"),
        ),
    ),
)
ABSENT = Finding(
    CodedConcept("60046008", "SCT", "Pleural effusion"),
    None,
    "effusion",
    "2.25.2",
    classification=Classification("effusion", 0.125, 0.5, "chosen on validation", False, "1.2.3.1.1", 1, 1),
)


def request(**facts: Any) -> NotificationRequest:
    """The message on a result; ``facts`` are those of the result that differ."""
    result = ToldResult(
        result_id=7,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        revision=1,
        patient_id="P1",
        issuer_of_patient_id="HOSPITAL",
        accession_number="A7",
        algorithm_name="brain",
        algorithm_version="1.0",
        artifact_sha256="b" * 64,
        manifest_sha256="a" * 64,
        findings=(asdict(BRAIN), asdict(ABSENT)),
        stored_at=STORED_AT,
        report=REPORT,
        predecessor=None,
    )
    return NotificationRequest(
        1, "c", "0123456789abcdef0123456789abcdef", None, 1, STORED_AT, STORED_AT, replace(result, **facts)
    )
