"""A data set sent as DICOM JSON (PS3.18 annex F), read within limits: its form, and what a workitem may say."""

import json
import math
import re
import unicodedata
from typing import Any

from fastapi import Request
from pydicom.datadict import dictionary_VR
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from listener.web.body import BodyLimits, bounded_body, require_plain_body
from listener.web.multipart_reader import content_type_of
from storage.domain.identifiers import is_uid
from storage.domain.workitem import DataSet, WorkitemPriority, WorkitemState
from storage.domain.workitem_attributes import (
    ALGORITHM_NAME,
    ATTRIBUTES,
    READINESS,
    SCHEME,
    TAGS,
    WORKLIST_LABEL,
    AtCreation,
    asked_of_us,
    element,
    first,
)

LIMITS = BodyLimits(512 * 1024, pause_seconds=20.0)
_CONTENT = ("application/dicom+json", "application/json")
_DEEPEST = 8  # sequences within sequences
_MOST_ELEMENTS = 5000
_LONGEST_TEXT = 10240  # the longest that a VR of these attributes may have (PS3.5 section 6.2, LT)
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_VR = re.compile(r"[A-Z]{2}", re.ASCII)
_DATE_TIME = re.compile(r"[0-9]{4,14}(\.[0-9]{1,6})?([+-][0-9]{4})?", re.ASCII)
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_CONTROLS = frozenset("\t\n\f\r")  # that text may hold (PS3.5 section 6.1.3)
_JOINERS = frozenset("\u200c\u200d\u200e\u200f")  # that Arabic, Hebrew, Persian and Indic text is written with
# Of group 0010, which is about the patient, only the identifiers are kept; within sequences too, nobody needs the rest.
_OF_PATIENT = "0010"
_IDENTIFIERS = frozenset({"00100020", "00100021", "00100022", "00100024", "00101002"})
_OF_STANDARD = "1.2.840.10008."  # begins the UIDs that the Standard itself gives (PS3.6), such as that of all workitems
_MOST_ALGORITHMS = 20


async def data_set_of(request: Request) -> DataSet:
    """The data set in the body; an array of one is taken as that one.

    Raises:
        HTTPException: 400, 408, 413 or 415.
    """
    require_plain_body(request)
    if content_type_of(request.headers.get("content-type", "")).media_type not in _CONTENT:
        raise HTTPException(415, "A workitem is taken as application/dicom+json; send it so.", {"Connection": "close"})
    try:
        body = b"".join([chunk async for chunk in bounded_body(request, LIMITS)])
    except ClientDisconnect:
        raise HTTPException(400, "The sender went away before the end of the body.") from None
    return parsed(body)


def parsed(body: bytes) -> DataSet:
    """The data set, its tags in capital letters and its form as the Standard has it.

    Raises:
        HTTPException: 400.
    """
    try:
        value = json.loads(body or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is no JSON; send a data set in the DICOM JSON Model.") from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return _Reading().data_set(value, 0)


class _Reading:
    """Walks one data set and counts what it holds."""

    def __init__(self) -> None:
        self._left = _MOST_ELEMENTS

    def data_set(self, value: object, depth: int) -> DataSet:
        if not isinstance(value, dict) or depth > _DEEPEST:
            raise _malformed()
        return {tag.upper(): self._element(tag.upper(), each, depth) for tag, each in value.items() if _is_tag(tag)}

    def _element(self, tag: str, value: object, depth: int) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0 or not isinstance(value, dict) or set(value) - {"vr", "Value"}:
            raise _malformed()
        vr, values = value.get("vr"), value.get("Value", [])
        if not isinstance(vr, str) or not _VR.fullmatch(vr) or vr != _vr_of(tag, vr) or not isinstance(values, list):
            raise _malformed()
        held = [self._value(tag, vr, each, depth) for each in values]
        return {"vr": vr, "Value": held} if held and held != [None] else {"vr": vr}

    def _value(self, tag: str, vr: str, value: object, depth: int) -> object:
        self._left -= 1
        if self._left < 0:
            raise _malformed()
        if vr == "SQ":
            return self.data_set({} if value is None else value, depth + 1)
        if value is None:
            return None
        if vr == "PN":
            return self._name(value)
        if vr in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):  # 1e999 is read as infinity, which no JSON can say again
                raise _malformed()
            return value
        if not isinstance(value, str) or not is_text(value):
            raise _malformed()
        if (vr == "UI" and value and not is_uid(value)) or (vr == "DT" and value and not _DATE_TIME.fullmatch(value)):
            raise HTTPException(400, f"A value of ({tag[:4]},{tag[4:]}) is no {vr} (PS3.5 section 6.2); correct it.")
        return value

    def _name(self, value: object) -> dict[str, str]:
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        if not isinstance(value, dict) or set(value) - {*groups}:
            raise _malformed()
        if not all(isinstance(part, str) and is_text(part) for part in value.values()):
            raise _malformed()
        return dict(value)


def at_creation(sent: DataSet, sop_instance_uid: str) -> tuple[str, DataSet, bool]:
    """The UID of a new workitem, its attributes, and whether something that was sent was left out or changed.

    ``sop_instance_uid`` is that of the address, empty where it has none.

    Raises:
        HTTPException: 400, an attribute lacks that the Standard wants, or has a value that it does not allow.
    """
    for attribute in ATTRIBUTES.values():
        value = first(sent, attribute.tag)
        if attribute.creation is AtCreation.REQUIRED and value in (None, ""):
            raise HTTPException(400, f"The workitem lacks {attribute.keyword} (PS3.4 Table CC.2.5-3); add it.")
        if attribute.creation is AtCreation.EMPTY and any(sent.get(attribute.tag, {}).get("Value", ())):
            raise HTTPException(400, f"A new workitem has no value of {attribute.keyword}; leave it empty.")
    if first(sent, ATTRIBUTES["ProcedureStepState"].tag) != WorkitemState.SCHEDULED:
        raise HTTPException(400, "A new workitem is SCHEDULED; set Procedure Step State (0074,1000) to it.")
    _check_values(sent)
    inside = str(first(sent, ATTRIBUTES["SOPInstanceUID"].tag) or "")
    if inside and sop_instance_uid and inside != sop_instance_uid:
        raise HTTPException(400, "The UID in the address is not the SOP Instance UID in the body; send one of them.")
    uid = sop_instance_uid or inside
    if not uid:
        raise HTTPException(400, "The workitem has no UID; name it in the address or as SOP Instance UID (0008,0018).")
    if uid.startswith(_OF_STANDARD):
        raise HTTPException(400, "The UID of the workitem is one that the Standard gives; make one up.")
    label = ATTRIBUTES["WorklistLabel"].tag
    kept = _kept(sent, {AtCreation.REQUIRED, AtCreation.TAKEN, AtCreation.EMPTY})
    if first(kept, label) in (None, ""):
        kept |= element(label, WORKLIST_LABEL)
    return uid, kept, _is_less(sent, kept)


def at_update(sent: DataSet) -> tuple[DataSet, bool]:
    """The attributes that an update changes, and whether something that was sent was left out.

    Raises:
        HTTPException: 400, it would change what no update may, or sets a value that the Standard does not allow.
    """
    for tag in sent:
        attribute = TAGS.get(tag)
        if attribute is not None and not attribute.updated and attribute.creation is not AtCreation.OURS:
            if attribute.keyword == "TransactionUID":  # told as the lock
                continue
            raise HTTPException(400, f"{attribute.keyword} is not changed by an update but by a change of state.")
    _check_values(sent)
    kept: DataSet = {tag: anonymous(value) for tag, value in sent.items() if tag in TAGS and TAGS[tag].updated}
    for attribute in ATTRIBUTES.values():
        if (
            attribute.creation is AtCreation.REQUIRED
            and attribute.tag in kept
            and first(kept, attribute.tag) in (None, "")
        ):
            raise HTTPException(400, f"{attribute.keyword} cannot be empty (PS3.4 Table CC.2.5-3).")
    return kept, _is_less(sent, kept)


def _is_less(sent: DataSet, kept: DataSet) -> bool:
    """Whether something was left out that its sender might miss."""
    return any(tag not in TAGS or (tag in kept and kept[tag] != value) for tag, value in sent.items())


def anonymous(value: Any) -> Any:  # noqa: ANN401 - a data set, or what is in one
    """The same without what is said of a patient beyond the identifiers, in the items of sequences too."""
    if isinstance(value, list):
        return [anonymous(each) for each in value]
    if isinstance(value, dict):
        return {
            key: anonymous(each)
            for key, each in value.items()
            if not key.startswith(_OF_PATIENT) or key in _IDENTIFIERS
        }
    return value


def _kept(sent: DataSet, how: set[AtCreation]) -> DataSet:
    """The attributes of the table, those that were left out empty (type 2)."""
    wanted = [each for each in ATTRIBUTES.values() if each.creation in how]
    never = {ATTRIBUTES["TransactionUID"].tag, ATTRIBUTES["ProcedureStepState"].tag}
    return {
        each.tag: anonymous(sent.get(each.tag, element(each.tag)[each.tag])) for each in wanted if each.tag not in never
    }


def _check_values(sent: DataSet) -> None:
    for attribute in ATTRIBUTES.values():  # all of them have the multiplicity 1 (PS3.6)
        if attribute.vr != "SQ" and len(sent.get(attribute.tag, {}).get("Value", ())) > 1:
            raise HTTPException(400, f"{attribute.keyword} has more than one value; send one.")
    for keyword, words in (
        ("ScheduledProcedureStepPriority", set(WorkitemPriority)),
        ("InputReadinessState", READINESS),
    ):
        value = first(sent, ATTRIBUTES[keyword].tag)
        if value not in (None, "") and value not in words:
            raise HTTPException(400, f"{keyword} is none of {', '.join(sorted(words))}; correct it.")
    algorithms = asked_of_us(sent).algorithms
    if len(algorithms) > _MOST_ALGORITHMS or not all(map(ALGORITHM_NAME.fullmatch, algorithms)):
        raise HTTPException(
            400,
            f"A code of {SCHEME} is no name of an algorithm, or there are more than {_MOST_ALGORITHMS}; "
            "`overread algorithms list` shows those there are.",
        )


def _is_tag(tag: object) -> bool:
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise _malformed()
    return True


def _vr_of(tag: str, sent: str) -> str:
    try:
        return sent if sent in dictionary_VR(int(tag, 16)).split(" or ") else ""
    except KeyError:  # private, or newer than our dictionary
        return sent


def is_text(value: str) -> bool:
    """Whether PostgreSQL and the Standard can hold it; Python calls no space but that of ASCII printable."""
    return len(value) <= _LONGEST_TEXT and all(
        char.isprintable() or char in _CONTROLS or char in _JOINERS or unicodedata.category(char) == "Zs"
        for char in value
    )


def _no_number(_word: str) -> object:
    raise ValueError


def _malformed() -> HTTPException:
    return HTTPException(400, "The body is no data set in the DICOM JSON Model (PS3.18 annex F), or too large a one.")
