"""A result as an HL7 v2.5.1 message ORU^R01, the same bytes from the same result and settings.

The patient is named by the identifier that the study has, and by nothing else. What is in which field stands in
``docs/reference/notifications.md``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from storage.domain.notification import NotificationRequest, ToldResult, has_certainty, is_found

_OURS = "99OVERREAD"
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_PRESENT, _ABSENT = ("121053", "DCM", "Present"), ("121054", "DCM", "Absent")


class Addresses(NamedTuple):
    """Between whom a message goes (MSH-3 to MSH-6), and which fields of OBR hold the accession number."""

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    accession_fields: tuple[str, ...]


def control_id(request: NotificationRequest) -> str:
    """MSH-10, the same at each try; twenty characters, which is all that v2.5.1 allows."""
    return request.message_id[:20].upper()


def oru_r01(request: NotificationRequest, addresses: Addresses) -> bytes:
    """The message without the frame of MLLP, in UTF-8; each segment ends with a carriage return."""
    told = request.result
    segments = [
        _header(request, addresses),
        _segment("PID", {1: "1", 3: _components(told.patient_id, "", "", told.issuer_of_patient_id), 5: "^^^^^^U"}),
        _request(told, addresses),
        *_observations(told),
    ]
    return "".join(f"{segment}\r" for segment in segments).encode()


def escaped(text: str) -> str:
    """A value in which no character delimits anything, nor ends a segment or a frame (HL7 v2.5.1 section 2.7)."""
    return "".join(
        _ESCAPES.get(one) or (f"\\X{ord(one):02X}\\" if ord(one) < 0x20 or ord(one) == 0x7F else one) for one in text
    )


def number(value: float) -> str:
    """A number as NM has it: decimal, without an exponent (HL7 v2.5.1 section 2.A.47)."""
    return format(Decimal(repr(value)), "f")


def _header(request: NotificationRequest, addresses: Addresses) -> str:
    between = map(escaped, addresses[:4])
    rest = [_time(request.noted_at), "", "ORU^R01^ORU_R01", control_id(request), "P", "2.5.1", *[""] * 5]
    return "|".join(["MSH", "^~\\&", *between, *rest, "UNICODE UTF-8"])


def _request(told: ToldResult, addresses: Addresses) -> str:
    accession = {field: escaped(told.accession_number) for field in addresses.accession_fields}
    return _segment(
        "OBR",
        {
            1: "1",
            2: accession.get("OBR-2", ""),
            3: accession.get("OBR-3") or f"{told.result_id}^OVERREAD",
            4: f"OVERREAD-RESULT^AI result^{_OURS}",
            7: _time(told.stored_at),
            18: accession.get("OBR-18", ""),
            22: _time(told.stored_at),
            24: "RAD",
            25: _PRELIMINARY,
        },
    )


def _observations(told: ToldResult) -> Iterator[str]:
    """OBX, numbered through; those of one finding have its number as their sub-ID."""
    for place, (kind, what, sub_id, value, unit) in enumerate(_values(told), 1):
        yield _segment(
            "OBX",
            {
                1: str(place),
                2: kind,
                3: what,
                4: sub_id,
                5: value,
                6: unit,
                11: _PRELIMINARY,
                14: _time(told.stored_at),
            },
        )


def _values(told: ToldResult) -> Iterator[tuple[str, str, str, str, str]]:
    """Type, what it is, sub-ID, value and unit of each observation."""
    yield "ST", _own("NOTICE", "Notice"), "", "AI result, not verified. Research use only.", ""
    yield "HD", "113014^Study^DCM", "", f"^{told.study_instance_uid}^ISO", ""
    for reference, name, meaning in (
        (told.report, "REPORT", "DICOM report of this result"),
        (told.predecessor, "REPLACES", "DICOM report that this one replaces"),
    ):
        if reference is not None:
            yield "HD", _own(name, meaning), "", f"^{reference.sop_instance_uid}^ISO", ""
    yield "ST", "111001^Algorithm Name^DCM", "", escaped(told.algorithm_name), ""
    yield "ST", "111003^Algorithm Version^DCM", "", escaped(told.algorithm_version), ""
    yield "ST", _own("MODEL-SHA256", "SHA-256 of the model"), "", told.artifact_sha256, ""
    yield "NM", _own("FINDINGS", "Number of findings"), "", str(len(told.found)), ""
    for place, finding in enumerate(told.findings, 1):
        yield from _finding(finding, str(place))


def _finding(finding: Mapping[str, Any], sub_id: str) -> Iterator[tuple[str, str, str, str, str]]:
    yield "CWE", "121071^Finding^DCM", sub_id, _coded(finding["kind"]), ""
    if finding["site"] is not None:
        yield "CWE", "363698007^Finding Site^SCT", sub_id, _coded(finding["site"]), ""
    value, scheme, meaning = _PRESENT if is_found(finding) else _ABSENT
    yield "CWE", _own("PRESENCE", "Presence"), sub_id, f"{value}^{meaning}^{scheme}", ""
    if has_certainty(finding):
        percent = number(float(Decimal(repr(finding["classification"]["probability"])) * 100))
        yield "NM", "111012^Certainty of Finding^DCM", sub_id, percent, "%^percent^UCUM"
    for one in finding["measurements"]:
        yield "NM", _coded(_measured(one)), sub_id, number(one["value"]), _coded(one["unit"])


def _measured(measurement: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was measured; how it was condensed from many values stands with its name, in words."""
    name, derivation = measurement["name"], measurement["derivation"]
    return name if derivation is None else {**name, "meaning": f"{name['meaning']}, {derivation['meaning']}"}


def _coded(concept: Mapping[str, Any]) -> str:
    return _components(concept["value"], concept["meaning"], concept["scheme"])


def _own(name: str, meaning: str) -> str:
    return _components(f"OVERREAD-{name}", meaning, _OURS)


def _components(*values: str) -> str:
    return "^".join(map(escaped, values)).rstrip("^")


def _segment(name: str, fields: Mapping[int, str]) -> str:
    """The fields by their numbers, which must not be those of MSH."""
    values: Sequence[str] = [fields.get(place, "") for place in range(1, max(fields) + 1)]
    return "|".join([name, *values]).rstrip("|")


# OBR-25 and OBX-11 (HL7 tables 0123 and 0085): nobody has verified it. C would be a correction of a final one.
_PRELIMINARY = "P"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
