"""A result as a DiagnosticReport, as fhir.resources reads it: a library that holds the definitions of FHIR R4B."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from listener.notify.fhir import FHIR_RULES, ISSUE_TYPES, of_fhir_reply
from listener.notify.fhir_report import diagnostic_report, identifier_of
from listener.scu.web.line import Reply
from storage.domain.notification import NotificationEvent
from tests.peers.told_results import EARLIER, request


def read(resource_id: str = "", **facts) -> DiagnosticReport:
    """The report on a result as the library reads it, which refuses what R4B does not have."""
    content = json.dumps(
        diagnostic_report(request(**facts), patient_system="urn:oid:1.2.9", resource_id=resource_id), ensure_ascii=False
    )
    return DiagnosticReport.model_validate_json(content)


def test_it_is_a_preliminary_report_on_the_study() -> None:
    """Report, imaging study, patient and order are named by their identifiers, and the mark is where people read."""
    report = read()

    assert (report.status, report.id) == ("preliminary", None)
    assert [(one.system, one.value) for one in report.identifier] == [("urn:dicom:uid", "urn:oid:1.2.3.9")]
    assert report.imagingStudy[0].identifier.value == "urn:oid:1.2.3"
    assert (report.subject.identifier.system, report.subject.identifier.value) == ("urn:oid:1.2.9", "P1")
    assert report.subject.identifier.assigner.display == "HOSPITAL"
    assert report.basedOn[0].identifier.value == "A7"
    assert report.conclusion == "AI result, not verified. Research use only."
    assert "AI result, not verified" in report.text.div
    assert report.issued.isoformat() == "2026-11-28T12:00:30+00:00"


def test_each_observation_is_coded_and_made_by_the_algorithm() -> None:
    """The count, then each thing looked for with its numbers in UCUM; each refers to the device with its digest."""
    report = read()
    device, count, brain, absent = report.contained

    assert [one.value for one in device.version] == ["1.0", "b" * 64]
    assert [one.reference for one in report.result] == [f"#{each.id}" for each in (count, brain, absent)]
    assert {each.device.reference for each in (count, brain, absent)} == {"#algorithm"}
    assert {each.status for each in (count, brain, absent)} == {"preliminary"}
    assert count.valueInteger == 1
    assert (brain.code.coding[0].system, brain.code.coding[0].code) == ("http://snomed.info/sct", "12738006")
    assert brain.valueCodeableConcept.coding[0].display == "Present"
    volume, mean = brain.component
    assert (float(volume.valueQuantity.value), volume.valueQuantity.code) == (0.00001, "cm3")
    assert volume.valueQuantity.system == "http://unitsofmeasure.org"
    assert mean.code.text == "Attenuation Coefficient, Mean"
    assert absent.valueCodeableConcept.coding[0].display == "Absent"
    assert float(absent.component[0].valueQuantity.value) == 12.5


def test_what_replaces_another_names_it() -> None:
    """By the extension of R4 that says so."""
    (extension,) = read(predecessor=EARLIER).extension

    assert extension.url == "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
    assert extension.valueReference.identifier.value == "urn:oid:1.2.3.7"


def test_nothing_is_told_that_is_not_known() -> None:
    """A study without identifiers, a result without findings and report: no empty element, and still a report."""
    report = read(patient_id="", issuer_of_patient_id="", accession_number="", findings=(), report=None)

    assert (report.subject, report.basedOn, report.identifier) == (None, None, None)
    assert [one.valueInteger for one in report.contained[1:]] == [0]
    assert identifier_of(request(report=None).result) == ""


def test_no_control_character_reaches_a_string() -> None:
    """What a sender wrote into an identifier keeps no receiver from reading the rest."""
    assert (
        read(patient_id="P\x00\x1f1").subject.identifier.value == "P\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}1"
    )


def test_the_same_result_gives_the_same_report() -> None:
    """Neither the time of a try nor its number is in it."""
    first = request()

    assert diagnostic_report(first) == diagnostic_report(replace(first, now=first.now + timedelta(hours=1), tries=9))


def outcome(*codes: str, text: str = "Patient MUELLER is not known") -> bytes:
    """An OperationOutcome that says more than is told."""
    issues = [{"severity": "error", "code": code, "diagnostics": text} for code in codes]
    return json.dumps({"resourceType": "OperationOutcome", "issue": issues}).encode()


def test_of_an_outcome_the_types_of_issues_alone_are_told() -> None:
    """A code of FHIR's own list says what is wrong; text, and a code that is none, may name a patient."""
    answer = of_fhir_reply(Reply(422, outcome("required", "MUELLER", "code-invalid")))

    assert answer.event is NotificationEvent.REFUSE
    assert answer.sentence.endswith("It says: code-invalid, required.")
    assert "MUELLER" not in repr(answer)
    assert len(ISSUE_TYPES) == 31


@pytest.mark.parametrize(
    ("status", "body", "event"),
    [
        (201, b"", NotificationEvent.DELIVER),
        (200, b'{"resourceType": "DiagnosticReport"}', NotificationEvent.DELIVER),
        (201, outcome("informational"), NotificationEvent.DELIVER),
        (200, b"<html>Log in</html>", NotificationEvent.POSTPONE),
        (200, b'{"resourceType": "Bundle"}', NotificationEvent.POSTPONE),
        (200, b"[" * 60_000, NotificationEvent.POSTPONE),
        (201, None, NotificationEvent.POSTPONE),
        (204, b"", NotificationEvent.POSTPONE),
        (409, b"", NotificationEvent.POSTPONE),
        (412, b"", NotificationEvent.REFUSE),
        (400, b"[" * 60_000, NotificationEvent.REFUSE),
        (500, b'{"resourceType": "OperationOutcome", "issue": 7}', NotificationEvent.POSTPONE),
    ],
)
def test_only_an_answer_of_fhir_counts(status: int, body: bytes | None, event: NotificationEvent) -> None:
    """A login page that says 200 has taken nothing; no body keeps us from reading the status."""
    assert of_fhir_reply(Reply(status, body)).event is event
    assert FHIR_RULES
