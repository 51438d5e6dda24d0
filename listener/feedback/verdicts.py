"""What one object says of our results: the rules of `storage.domain.returned_object`, applied to data sets."""

from collections.abc import Callable
from pathlib import Path

from pydicom import Dataset

from listener.feedback.bounded_reading import NotPlain, read_attributes, read_with_pixels
from listener.feedback.tracked_groups import Statement, root_concept, says_the_same, tracked_groups
from listener.feedback.tracked_segments import TrackedSegment, grid, segment_uids, tracked_segments
from storage.domain.ai_object import OUR_MANUFACTURER, OUR_MODEL_NAME
from storage.domain.result import EvidenceRole
from storage.domain.returned_object import (
    FINDING_ROLES,
    KEY_OBJECT_SELECTION,
    REJECTION_TITLES,
    SEGMENTATION_CLASSES,
    Look,
    OwnObject,
    OwnResult,
    ReturnedObject,
    ReturnedOutcome,
    ReturnRule,
    Said,
)

Frozen = Callable[[str], Path]  # the file of an object of ours by the digest of its bytes


def look_at(returned: ReturnedObject, path: Path, frozen: Frozen) -> Look:
    """What the object in this file says. Raises as ``read_with_pixels``, of hostile bytes anything."""
    if returned.sop_class_uid.startswith(SEGMENTATION_CLASSES):
        return _segmentation(returned, path, frozen)
    data_set = read_attributes(path)
    if returned.sop_class_uid == KEY_OBJECT_SELECTION:
        return _rejection(returned, data_set, frozen)
    return _report(returned, data_set, frozen)


def _look(said: list[Said]) -> Look:
    return Look(ReturnedOutcome.TAKEN if said else ReturnedOutcome.SAYS_NOTHING, tuple(said))


def _report(returned: ReturnedObject, report: Dataset, frozen: Frozen) -> Look:
    """A report speaks once a person verified it (PS3.3 section C.17.2): of what it tells, and of what it follows."""
    groups = tracked_groups(report)
    ours = {uid: result for uid in groups if (result := returned.result_of(uid)) is not None}
    followed = _followed(returned, report, frozen)
    if not ours and not followed:
        return Look(ReturnedOutcome.NOT_OURS)
    if report.get("VerificationFlag") != "VERIFIED" or not report.get("VerifyingObserverSequence"):
        return Look(ReturnedOutcome.SAYS_NOTHING)
    said = []
    for uid, result in ours.items():
        as_made = _as_made(uid, [one for one, _ in followed], result, frozen)
        if as_made is not None:
            same = says_the_same(as_made, groups[uid])
            rule = ReturnRule.VERIFIED_AS_MADE if same else ReturnRule.VERIFIED_CHANGED
            said.append(Said(result.result_id, uid, rule))
    told = {one.tracking_uid for one in said}
    for own, result in followed:
        before = read_attributes(frozen(own.sha256))
        if root_concept(before) != root_concept(report):
            continue  # in another form, findings have no place of their own: what lacks there, nobody took out
        for uid in tracked_groups(before):
            if uid in result.things and uid not in groups and uid not in told:
                told.add(uid)
                said.append(Said(result.result_id, uid, ReturnRule.VERIFIED_WITHOUT))
    return _look(said)


def _followed(returned: ReturnedObject, report: Dataset, frozen: Frozen) -> list[tuple[OwnObject, OwnResult]]:
    """The reports of ours that it is a new version of: those it names as predecessors, and the one whose UID it has.

    A report that only cites ours among its evidence has taken nothing out of it, so its silence is no verdict. Nor is
    it one on what a report of ours followed already: who verifies the newer one has not read the older.
    """
    named = _predecessors(report) | ({returned.sop_instance_uid} if returned.is_own else set())
    found = _named(returned, named, frozenset({EvidenceRole.REPORT}))
    older = {uid for own, _ in found for uid in _predecessors(read_attributes(frozen(own.sha256)))}
    return [(own, result) for own, result in found if own.sop_instance_uid not in older]


def _predecessors(report: Dataset) -> set[str]:
    return {
        str(one.get("ReferencedSOPInstanceUID", ""))
        for study in report.get("PredecessorDocumentsSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for one in series.get("ReferencedSOPSequence") or ()
    }


def _named(
    returned: ReturnedObject, uids: set[str], roles: frozenset[EvidenceRole]
) -> list[tuple[OwnObject, OwnResult]]:
    """Our objects with these SOP Instance UIDs, each of the newest result that has it."""
    found: dict[str, tuple[OwnObject, OwnResult]] = {}
    for result in returned.results:
        for own in result.objects:
            if own.sop_instance_uid in uids and own.role in roles:
                found.setdefault(own.sop_instance_uid, (own, result))
    return list(found.values())


def _as_made(uid: str, followed: list[OwnObject], result: OwnResult, frozen: Frozen) -> list[Statement] | None:
    """What we said of a finding: in the report that is followed, else in any of its result."""
    reports = [*followed, *(own for own in result.objects if own.role is EvidenceRole.REPORT)]
    for own in reports:
        groups = tracked_groups(read_attributes(frozen(own.sha256)))
        if uid in groups:
            return groups[uid]
    return None


def _rejection(returned: ReturnedObject, note: Dataset, frozen: Frozen) -> Look:
    """A rejection note rejects the findings that the objects it names tell of; one of ours is no reader's opinion."""
    named = set()
    for study in note.get("CurrentRequestedProcedureEvidenceSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for one in series.get("ReferencedSOPSequence") or ():
                named.add(str(one.get("ReferencedSOPInstanceUID", "")))
    about = _named(returned, named, frozenset(EvidenceRole))
    if not about:
        return Look(ReturnedOutcome.NOT_OURS)
    code, scheme = root_concept(note)
    makers = str(note.get("Manufacturer", "")), str(note.get("ManufacturerModelName", ""))
    if returned.is_own or makers == (OUR_MANUFACTURER, OUR_MODEL_NAME):
        return Look(ReturnedOutcome.SAYS_NOTHING)
    if scheme != "DCM" or code not in REJECTION_TITLES:
        return Look(ReturnedOutcome.SAYS_NOTHING)
    rejected = {
        (result.result_id, uid)
        for own, result in about
        if own.role in FINDING_ROLES
        for uid in _told_of(own, result, frozen)
    }
    return _look([Said(result_id, uid, ReturnRule.REJECTED) for result_id, uid in sorted(rejected)])


def _told_of(own: OwnObject, result: OwnResult, frozen: Frozen) -> frozenset[str]:
    """The findings that an object of ours tells of: those it tracks, or all where it tracks none, as a PDF."""
    if own.role is EvidenceRole.DOCUMENT or own.role is EvidenceRole.STRUCTURE_SET:
        return result.things
    data_set = read_attributes(frozen(own.sha256))
    tracked = segment_uids(data_set).values() if own.role is EvidenceRole.SEGMENTATION else tracked_groups(data_set)
    return frozenset(tracked) & result.things or result.things


def _segmentation(returned: ReturnedObject, path: Path, frozen: Frozen) -> Look:
    """A segment with our Tracking UID and other pixels or meaning was changed; the same pixels say nothing."""
    uids = {uid for uid in segment_uids(read_attributes(path)).values() if returned.result_of(uid) is not None}
    if not uids:
        return Look(ReturnedOutcome.NOT_OURS)
    try:
        data_set, pixels = read_with_pixels(path)
        theirs, on = tracked_segments(data_set, pixels), grid(data_set)
    except NotPlain:
        return Look(ReturnedOutcome.NOT_COMPARABLE)
    said, unlike = [], False
    for uid in sorted(uids):
        result = returned.result_of(uid)
        before = None if result is None else _as_outlined(uid, result, on, frozen)
        if result is None or before is None:
            unlike = True
        elif before != theirs[uid]:
            said.append(Said(result.result_id, uid, ReturnRule.SEGMENT_CHANGED))
    if unlike and not said:
        return Look(ReturnedOutcome.NOT_COMPARABLE)
    return _look(said)


def _as_outlined(uid: str, result: OwnResult, on: tuple[object, ...], frozen: Frozen) -> TrackedSegment | None:
    """The segment as we made it, in an object on the same grid; ``None`` where there is none."""
    for own in result.objects:
        if own.role is EvidenceRole.SEGMENTATION:
            attributes = read_attributes(frozen(own.sha256))
            if uid in segment_uids(attributes).values() and grid(attributes) == on:
                return tracked_segments(*read_with_pixels(frozen(own.sha256)))[uid]
    return None
