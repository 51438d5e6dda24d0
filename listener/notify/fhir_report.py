"""A result as a FHIR R4 DiagnosticReport with its observations in it, the same from the same result and settings.

What is in which element stands in ``docs/reference/notifications.md``. Imaging study, patient and order are referred to
by their identifiers: whether the receiver has resources of them is its own matter.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from storage.domain.notification import NotificationRequest, ReportReference, ToldResult, has_certainty, is_found

Element = dict[str, Any]

# What DICOM calls a coding scheme (PS3.16 section 8) and FHIR a system; of others the code and its meaning are told.
SYSTEMS: Mapping[str, str] = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
    "LN": "http://loinc.org",
    "FMA": "http://purl.org/sig/ont/fma",
    "RADLEX": "http://radlex.org",
}
_UIDS = "urn:dicom:uid"
_NOTICE = "AI result, not verified. Research use only."
_REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
_PERCENT = {"unit": "percent", "system": SYSTEMS["UCUM"], "code": "%"}
_PRESENT = {"value": "121053", "scheme": "DCM", "meaning": "Present"}
_ABSENT = {"value": "121054", "scheme": "DCM", "meaning": "Absent"}
_FINDINGS = {"text": "Number of findings"}


def diagnostic_report(request: NotificationRequest, *, patient_system: str = "", resource_id: str = "") -> Element:
    """The resource; ``resource_id`` is its id where we choose it, ``patient_system`` the system of Patient IDs."""
    told = request.result
    observations = list(_observations(told))
    report: Element = {
        "resourceType": "DiagnosticReport",
        "id": resource_id,
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{_NOTICE}</div>'},
        "contained": [_algorithm(told), *observations],
        "extension": _replaces(told.predecessor),
        "identifier": [_uid(told.report.sop_instance_uid)] if told.report else [],
        "basedOn": _order(told),
        "status": "preliminary",
        "category": [_category()],
        "code": {"text": f"AI result of {_said(told.algorithm_name)} {_said(told.algorithm_version)}, not verified"},
        "subject": _patient(told, patient_system),
        "issued": _time(told.stored_at),
        "result": [{"reference": f"#{one['id']}"} for one in observations],
        "imagingStudy": [{"type": "ImagingStudy", "identifier": _uid(told.study_instance_uid)}],
        "conclusion": _NOTICE,
    }
    return _without_empty(report)


def identifier_of(told: ToldResult) -> str:
    """Under what the report is searched for, as ``system|value``; empty without a report."""
    return f"{_UIDS}|urn:oid:{told.report.sop_instance_uid}" if told.report else ""


def _algorithm(told: ToldResult) -> Element:
    return {
        "resourceType": "Device",
        "id": "algorithm",
        "deviceName": [{"name": _said(told.algorithm_name), "type": "model-name"}],
        "type": {"text": "AI algorithm"},
        "version": [
            {"type": {"text": "version"}, "value": _said(told.algorithm_version)},
            {"type": {"text": "SHA-256 of the model"}, "value": told.artifact_sha256},
        ],
    }


def _observations(told: ToldResult) -> Iterator[Element]:
    """How many things were found, and one observation for each thing looked for."""
    count = {"code": _FINDINGS, "valueInteger": len(told.found)}
    for place, facts in enumerate([count, *map(_finding, told.findings)]):
        yield {
            "resourceType": "Observation",
            "id": f"observation-{place}",
            "status": "preliminary",
            **facts,
            "device": {"reference": "#algorithm"},
        }


def _finding(finding: Mapping[str, Any]) -> Element:
    parts = [
        {"code": _measured(one), "valueQuantity": {"value": one["value"], **_unit(one["unit"])}}
        for one in finding["measurements"]
    ]
    if has_certainty(finding):
        certainty = {"value": "111012", "scheme": "DCM", "meaning": "Certainty of Finding"}
        percent = float(Decimal(repr(finding["classification"]["probability"])) * 100)
        parts.append({"code": _coded(certainty), "valueQuantity": {"value": percent, **_PERCENT}})
    return _without_empty(
        {
            "code": _coded(finding["kind"]),
            "valueCodeableConcept": _coded(_PRESENT if is_found(finding) else _ABSENT),
            "bodySite": _coded(finding["site"]) if finding["site"] else {},
            "component": parts,
        }
    )


def _measured(measurement: Mapping[str, Any]) -> Element:
    """What was measured; how it was condensed from many values stands in its text."""
    name, derivation = measurement["name"], measurement["derivation"]
    concept = _coded(name)
    if derivation is not None:
        concept["text"] = _said(f"{name['meaning']}, {derivation['meaning']}")
    return concept


def _coded(concept: Mapping[str, Any]) -> Element:
    coding = {
        "system": SYSTEMS.get(concept["scheme"], ""),
        "code": _said(concept["value"]),
        "display": _said(concept["meaning"]),
    }
    return _without_empty({"coding": [_without_empty(coding)], "text": _said(concept["meaning"])})


def _unit(concept: Mapping[str, Any]) -> Element:
    unit = {
        "unit": _said(concept["meaning"]),
        "system": SYSTEMS.get(concept["scheme"], ""),
        "code": _said(concept["value"]),
    }
    return _without_empty(unit if unit["system"] else {"unit": unit["unit"]})


def _category() -> Element:
    system = "http://terminology.hl7.org/CodeSystem/v2-0074"
    return {"coding": [{"system": system, "code": "RAD", "display": "Radiology"}]}


def _patient(told: ToldResult, system: str) -> Element:
    if not told.patient_id:
        return {}
    assigner = {"display": _said(told.issuer_of_patient_id)} if told.issuer_of_patient_id else {}
    identifier = {"system": system, "value": _said(told.patient_id), "assigner": assigner}
    return {"type": "Patient", "identifier": _without_empty(identifier)}


def _order(told: ToldResult) -> list[Element]:
    if not told.accession_number:
        return []
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
    return [{"type": "ServiceRequest", "identifier": {"type": kind, "value": _said(told.accession_number)}}]


def _replaces(predecessor: ReportReference | None) -> list[Element]:
    if predecessor is None:
        return []
    reference = {"type": "DiagnosticReport", "identifier": _uid(predecessor.sop_instance_uid)}
    return [{"url": _REPLACES, "valueReference": reference}]


def _uid(uid: str) -> Element:
    return {"system": _UIDS, "value": f"urn:oid:{uid}"}


def _said(text: str) -> str:
    """Text without the control characters that no string of FHIR may hold."""
    return "".join("\N{REPLACEMENT CHARACTER}" if ord(one) < 0x20 or ord(one) == 0x7F else one for one in text)


def _without_empty(element: Element) -> Element:
    """FHIR knows no empty strings, lists or objects; 0 and false stay."""
    return {name: value for name, value in element.items() if value not in ("", [], {})}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
