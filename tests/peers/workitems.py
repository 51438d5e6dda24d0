"""Workitems as a task manager creates them, and what a performer adds, in the DICOM JSON Model."""

from typing import Any

STATE, TRANSACTION, LABEL, PATIENT_ID = "00741000", "00081195", "00741204", "00100020"


def _one(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def code(value: str, scheme: str, meaning: str = "a meaning") -> dict[str, Any]:
    """The item of a code sequence."""
    return {"00080100": _one("SH", value), "00080102": _one("SH", scheme), "00080104": _one("LO", meaning)}


def new_workitem(
    *,
    priority: str = "MEDIUM",
    start: str = "20260101120000",
    label: str = "Analysis",
    accession: str = "",
    study: str = "",
    algorithms: tuple[str, ...] = (),
    version: str = "",
    name: str = "",
) -> dict[str, Any]:
    """A workitem that the Standard allows (PS3.4 Table CC.2.5-3); ``algorithms`` are named in our scheme."""
    workitem = {
        "00741000": _one("CS", "SCHEDULED"),
        "00741200": _one("CS", priority),
        "00741204": _one("LO", label),
        "00404005": _one("DT", start),
        "00404041": _one("CS", "READY"),
        "00404018": _one("SQ", *(code(each, "99OVERREAD") for each in algorithms)),
        "00404021": _one("SQ"),
        "00100020": _one("LO", "P1"),
    }
    if name:
        workitem["00100010"] = _one("PN", {"Alphabetic": name})
    if accession:
        workitem["0040A370"] = _one("SQ", {"00080050": _one("SH", accession)})
    if study:
        workitem["00404021"] = _one("SQ", {"0040E020": _one("CS", "DICOM"), "0020000D": _one("UI", study)})
    if version:
        parameter = {
            "0040A040": _one("CS", "TEXT"),
            "0040A043": _one("SQ", code("version", "99OVERREAD")),
            "0040A160": _one("UT", version),
        }
        workitem["00741210"] = _one("SQ", parameter)
    return workitem


def nested(depth: int) -> dict[str, Any]:
    """An Input Information Sequence within one, so many times."""
    return _one("SQ", {"00404021": nested(depth - 1)}) if depth else _one("SQ")


def of_performer() -> dict[str, Any]:
    """What makes a workitem one that may be COMPLETED."""
    performed = {
        "00404028": _one("SQ", code("WS1", "99TEST")),
        "00404019": _one("SQ", code("110004", "DCM", "Computer Aided Diagnosis")),
        "00404050": _one("DT", "20260101120100"),
        "00404051": _one("DT", "20260101120200"),
        "00404033": _one("SQ"),
    }
    return {"00741216": _one("SQ", performed)}
