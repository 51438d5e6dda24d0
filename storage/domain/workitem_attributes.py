"""Which attributes a workitem has with us, and what may be said of them when (PS3.4 Table CC.2.5-3, the parts we hold).

Everything else that is sent is left out, and the sender is told so; what is said of a patient beyond the identifiers is
left out on purpose, since nobody here needs it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.domain.workitem import SOP_CLASS_UID, DataSet, WorkitemState


class AtCreation(StrEnum):
    """What a request to create a workitem says of an attribute."""

    REQUIRED = "required"
    TAKEN = "taken"  # or empty, or left out
    EMPTY = "empty"  # only who performs it fills it
    OURS = "ours"  # what is sent is not looked at


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute at the top level; ``updated``: a performer may change it, ``found``: a search answers with it."""

    keyword: str
    tag: str
    vr: str
    creation: AtCreation
    updated: bool = True
    found: bool = True


_R, _T, _E, _O = AtCreation.REQUIRED, AtCreation.TAKEN, AtCreation.EMPTY, AtCreation.OURS

ATTRIBUTES: dict[str, Attribute] = {
    each.keyword: each
    for each in (
        Attribute("SpecificCharacterSet", "00080005", "CS", _O, updated=False),
        Attribute("SOPClassUID", "00080016", "UI", _O, updated=False),
        Attribute("SOPInstanceUID", "00080018", "UI", _O, updated=False),
        Attribute("TransactionUID", "00081195", "UI", _E, updated=False, found=False),
        Attribute("PatientID", "00100020", "LO", _T),
        Attribute("IssuerOfPatientID", "00100021", "LO", _T),
        Attribute("IssuerOfPatientIDQualifiersSequence", "00100024", "SQ", _T),
        Attribute("StudyInstanceUID", "0020000D", "UI", _T),
        Attribute("AdmissionID", "00380010", "LO", _T),
        Attribute("IssuerOfAdmissionIDSequence", "00380014", "SQ", _T),
        Attribute("CommentsOnTheScheduledProcedureStep", "00400400", "LT", _T, found=False),
        Attribute("ScheduledProcedureStepStartDateTime", "00404005", "DT", _R),
        Attribute("ScheduledProcedureStepExpirationDateTime", "00404008", "DT", _T),
        Attribute("ScheduledProcedureStepModificationDateTime", "00404010", "DT", _O, updated=False),
        Attribute("ExpectedCompletionDateTime", "00404011", "DT", _T),
        Attribute("ScheduledWorkitemCodeSequence", "00404018", "SQ", _T),
        Attribute("InputInformationSequence", "00404021", "SQ", _T),
        Attribute("ScheduledStationNameCodeSequence", "00404025", "SQ", _T),
        Attribute("ScheduledStationClassCodeSequence", "00404026", "SQ", _T),
        Attribute("ScheduledStationGeographicLocationCodeSequence", "00404027", "SQ", _T),
        Attribute("ScheduledHumanPerformersSequence", "00404034", "SQ", _T),
        Attribute("InputReadinessState", "00404041", "CS", _R),
        Attribute("ReferencedRequestSequence", "0040A370", "SQ", _T),
        Attribute("ProcedureStepState", "00741000", "CS", _R, updated=False),
        Attribute("ProcedureStepProgressInformationSequence", "00741002", "SQ", _E),
        Attribute("ScheduledProcedureStepPriority", "00741200", "CS", _R),
        Attribute("WorklistLabel", "00741202", "LO", _T),
        Attribute("ProcedureStepLabel", "00741204", "LO", _R),
        Attribute("ScheduledProcessingParametersSequence", "00741210", "SQ", _T, found=False),
        Attribute("UnifiedProcedureStepPerformedProcedureSequence", "00741216", "SQ", _E, found=False),
        Attribute("ReplacedProcedureStepSequence", "00741224", "SQ", _T),
    )
}
TAGS: dict[str, Attribute] = {each.tag: each for each in ATTRIBUTES.values()}

# By which attributes worklists are searched; within a sequence, one of its items has to match.
SEARCH_KEYS: dict[str, tuple[str, ...]] = {
    "SOPInstanceUID": ("00080018",),
    "PatientID": ("00100020",),
    "IssuerOfPatientID": ("00100021",),
    "StudyInstanceUID": ("0020000D",),
    "AdmissionID": ("00380010",),
    "ScheduledProcedureStepStartDateTime": ("00404005",),
    "InputReadinessState": ("00404041",),
    "ProcedureStepState": ("00741000",),
    "ScheduledProcedureStepPriority": ("00741200",),
    "WorklistLabel": ("00741202",),
    "ProcedureStepLabel": ("00741204",),
    "ScheduledWorkitemCodeSequence.CodeValue": ("00404018", "00080100"),
    "ScheduledStationNameCodeSequence.CodeValue": ("00404025", "00080100"),
    "ScheduledStationClassCodeSequence.CodeValue": ("00404026", "00080100"),
    "InputInformationSequence.StudyInstanceUID": ("00404021", "0020000D"),
    "ReferencedRequestSequence.AccessionNumber": ("0040A370", "00080050"),
    "ReferencedRequestSequence.RequestedProcedureID": ("0040A370", "00401001"),
}
RANGES = frozenset({"ScheduledProcedureStepStartDateTime"})

READINESS = frozenset({"READY", "UNAVAILABLE", "INCOMPLETE"})
WORKLIST_LABEL = "Overread"  # where its creator names none

TRANSACTION_UID = ATTRIBUTES["TransactionUID"].tag
PROGRESS = ATTRIBUTES["ProcedureStepProgressInformationSequence"].tag
INPUT = ATTRIBUTES["InputInformationSequence"].tag
PERFORMED = ATTRIBUTES["UnifiedProcedureStepPerformedProcedureSequence"].tag
_REFERENCED = "00081199"  # Referenced SOP Sequence
_CANCELED_AT, _WHY_CODE, _WHY = "00404052", "0074100E", "00741238"

# What has a value in the only item of the performed procedure once a workitem is COMPLETED (final state "P").
_OF_COMPLETED: dict[str, str] = {
    "00404028": "Performed Station Name Code Sequence (0040,4028)",
    "00404019": "Performed Workitem Code Sequence (0040,4019)",
    "00404050": "Performed Procedure Step Start DateTime (0040,4050)",
    "00404051": "Performed Procedure Step End DateTime (0040,4051)",
}
_NOTHING: tuple[object, ...] = (None, "", {})
_OUTPUT = ("00404033", "Output Information Sequence (0040,4033)")  # has to be there, and may be empty


def element(tag: str, *values: Any) -> DataSet:  # noqa: ANN401 - what JSON has
    """One attribute of the table with these values."""
    vr = TAGS[tag].vr
    return {tag: {"vr": vr, "Value": list(values)} if values else {"vr": vr}}


def first(data_set: DataSet, tag: str) -> Any:  # noqa: ANN401 - what JSON has
    """The first value of an attribute, or ``None``."""
    values = data_set.get(tag, {}).get("Value") or [None]
    return values[0]


def items(data_set: DataSet, tag: str) -> Iterator[DataSet]:
    """The items of a sequence."""
    yield from (item for item in data_set.get(tag, {}).get("Value", ()) if item)


def code(value: str, scheme: str, meaning: str) -> DataSet:
    """The item of a code sequence (PS3.3 section 8)."""
    named = {"00080102": ("SH", scheme), "00080104": ("LO", meaning)}
    key, vr = ("00080100", "SH") if len(value) <= 16 else ("00080119", "UC")  # Code Value, or Long Code Value
    return {key: {"vr": vr, "Value": [value]}} | {tag: {"vr": vr, "Value": [text]} for tag, (vr, text) in named.items()}


def date_time(moment: datetime) -> str:
    """A DT in UTC."""
    return moment.strftime("%Y%m%d%H%M%S+0000")


def missing_for_completion(attributes: DataSet) -> list[str]:
    """What the Standard wants of a workitem that is COMPLETED and this one lacks, in its words."""
    performed = next(items(attributes, PERFORMED), {})
    lacking = [name for tag, name in _OF_COMPLETED.items() if first(performed, tag) in _NOTHING]
    return lacking + ([] if _OUTPUT[0] in performed else [_OUTPUT[1]])


def canceled(attributes: DataSet, moment: datetime, reason: DataSet, sentence: str = "") -> DataSet:
    """The attributes of a workitem that is canceled now; what its performer said of the reason stays as it is."""
    progress = dict(next(items(attributes, PROGRESS), {}))
    if first(progress, _CANCELED_AT) in _NOTHING:
        progress[_CANCELED_AT] = {"vr": "DT", "Value": [date_time(moment)]}
    if first(progress, _WHY_CODE) in _NOTHING:
        progress[_WHY_CODE] = {"vr": "SQ", "Value": [reason]}
    if sentence and first(progress, _WHY) in _NOTHING:
        progress[_WHY] = {"vr": "LT", "Value": [sentence]}
    return attributes | element(PROGRESS, progress)


@dataclass(frozen=True, slots=True)
class Asked:
    """The algorithms of ours that a workitem names, and the version of them that it wants; empty for any."""

    algorithms: tuple[str, ...] = ()
    version: str = ""


ALGORITHM_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)  # as manifests have it
SCHEME = "99OVERREAD"  # of codes whose value is the name of an algorithm, and of the parameter below
VERSION = "version"
_CODE_VALUE, _LONG_CODE_VALUE, _DESIGNATOR, _CONCEPT_NAME, _TEXT = (
    "00080100",
    "00080119",
    "00080102",
    "0040A043",
    "0040A160",
)


def asked_of_us(attributes: DataSet) -> Asked:
    """What of a workitem is ours to perform: what Scheduled Workitem Code Sequence names in our scheme.

    The version is the Text Value of the Scheduled Processing Parameter whose concept is (version, 99OVERREAD).
    """
    named = [_own_code(item) for item in items(attributes, ATTRIBUTES["ScheduledWorkitemCodeSequence"].tag)]
    versions = [
        str(first(parameter, _TEXT) or "")
        for parameter in items(attributes, ATTRIBUTES["ScheduledProcessingParametersSequence"].tag)
        if any(_own_code(concept) == VERSION for concept in items(parameter, _CONCEPT_NAME))
    ]
    return Asked(tuple(dict.fromkeys(name for name in named if name)), next(iter(versions), ""))


def is_of_patient(attributes: DataSet, patient_id: str, issuer_of_patient_id: str) -> bool:
    """Whether a study of this patient may be what it asks for; one that names no patient asks for any.

    The issuer tells two patients apart only where both sides name one.
    """
    said = [str(first(attributes, ATTRIBUTES[each].tag) or "").strip() for each in ("PatientID", "IssuerOfPatientID")]
    wanted, issuer = said
    same_issuer = issuer == issuer_of_patient_id.strip() or not (issuer and issuer_of_patient_id.strip())
    return not wanted or (wanted == patient_id.strip() and same_issuer)


def study_of(attributes: DataSet) -> str:
    """The study that a workitem is about: of its input where there is one, or else of its Study Instance UID."""
    tag = ATTRIBUTES["StudyInstanceUID"].tag
    inputs = items(attributes, ATTRIBUTES["InputInformationSequence"].tag)
    return next((str(uid) for item in inputs if (uid := first(item, tag))), "") or str(first(attributes, tag) or "")


def _own_code(item: DataSet) -> str:
    if str(first(item, _DESIGNATOR) or "").strip() != SCHEME:
        return ""
    return str(first(item, _CODE_VALUE) or first(item, _LONG_CODE_VALUE) or "").strip()


# CID 9300 Procedure Discontinuation Reason, as far as we say so ourselves.
UNSPECIFIED = code("110513", "DCM", "Discontinued for unspecified reason")
TYPES_NOT_SUPPORTED = code("110522", "DCM", "Object Types not supported")
SET_INCOMPLETE = code("110523", "DCM", "Object Set incomplete")
EQUIPMENT_FAILURE = code("110501", "DCM", "Equipment failure")
EXPIRED = code("110533", "DCM", "Workitem expired")


def shown(sop_instance_uid: str, state: WorkitemState, changed_at: datetime, attributes: DataSet) -> DataSet:
    """The whole data set as it is answered; the lock of a workitem is never part of it (PS3.18 section 11.5.3)."""
    known = {tag: value for tag, value in attributes.items() if tag in TAGS and tag != TRANSACTION_UID}
    for keyword, value in (
        ("SpecificCharacterSet", "ISO_IR 192"),
        ("SOPClassUID", SOP_CLASS_UID),
        ("SOPInstanceUID", sop_instance_uid),
        ("ScheduledProcedureStepModificationDateTime", date_time(changed_at)),
        ("ProcedureStepState", str(state)),
    ):
        known |= element(ATTRIBUTES[keyword].tag, value)
    return dict(sorted(known.items()))


def is_ready(attributes: DataSet) -> bool:
    """Whether its creator says that the input is there (Input Readiness State)."""
    return bool(first(attributes, ATTRIBUTES["InputReadinessState"].tag) == "READY")


def instances_of(attributes: DataSet) -> set[str]:
    """The instances that its input names; none where it names whole studies or series."""
    return {
        str(uid)
        for item in items(attributes, INPUT)
        for reference in items(item, _REFERENCED)
        if (uid := first(reference, "00081155"))
    }


def progress(attributes: DataSet, ended: int, jobs: int, running: Sequence[str]) -> DataSet:
    """Procedure Step Progress Information: what part of its algorithms has ended, in percent, and what runs."""
    said = dict(next(items(attributes, PROGRESS), {}))
    said["00741004"] = {"vr": "DS", "Value": [(100 * ended + 50 * len(running)) // jobs]}
    now = f"; {', '.join(running)} at work" if running else ""
    said["00741006"] = {"vr": "ST", "Value": [f"{ended} of {jobs} done{now}"]}
    return element(PROGRESS, said)


_STATION = "OVERREAD"


def _is_ours(performed_procedure: DataSet) -> bool:
    """Whether we performed it; somebody else may have claimed what names an algorithm of ours."""
    return any(_own_code(item) == _STATION for item in items(performed_procedure, "00404028"))


def performed(
    attributes: DataSet,
    study_instance_uid: str,
    began: datetime,
    ended: datetime,
    output: Mapping[str, Sequence[tuple[str, str]]],
) -> DataSet:
    """Unified Procedure Step Performed Procedure Sequence of a workitem of ours.

    ``output`` has by Series Instance UID the SOP Class and SOP Instance UIDs of the objects that were made.
    """
    codes = list(items(attributes, ATTRIBUTES["ScheduledWorkitemCodeSequence"].tag))
    series = [
        {
            "0020000D": {"vr": "UI", "Value": [study_instance_uid]},
            "0020000E": {"vr": "UI", "Value": [series_instance_uid]},
            "0040E020": {"vr": "CS", "Value": ["DICOM"]},  # Type of Instances
            _REFERENCED: {
                "vr": "SQ",
                "Value": [
                    {"00081150": {"vr": "UI", "Value": [sop_class]}, "00081155": {"vr": "UI", "Value": [instance]}}
                    for sop_class, instance in objects
                ],
            },
        }
        for series_instance_uid, objects in output.items()
    ]
    item: DataSet = {
        "00404019": {"vr": "SQ", "Value": codes},
        "00404028": {"vr": "SQ", "Value": [code(_STATION, SCHEME, "Overread")]},
        "00404033": {"vr": "SQ", "Value": series} if series else {"vr": "SQ"},
        "00404050": {"vr": "DT", "Value": [date_time(began)]},
        "00404051": {"vr": "DT", "Value": [date_time(ended)]},
    }
    return element(PERFORMED, item)


def retrievable(attributes: DataSet, address: Callable[[str, str], str]) -> DataSet:
    """The same with the addresses of its output, by study and series (WADO-RS Retrieval Sequence (0040,E025))."""
    done = next(items(attributes, PERFORMED), None)
    if done is None or not _is_ours(done):
        return attributes
    output = [
        item
        | {
            "0040E025": {
                "vr": "SQ",
                "Value": [
                    {"00081190": {"vr": "UR", "Value": [address(first(item, "0020000D"), first(item, "0020000E"))]}}
                ],
            }
        }
        for item in items(done, _OUTPUT[0])
        if first(item, "0020000D") and first(item, "0020000E")
    ]
    return attributes | element(
        PERFORMED, done | {_OUTPUT[0]: {"vr": "SQ", "Value": output} if output else {"vr": "SQ"}}
    )
