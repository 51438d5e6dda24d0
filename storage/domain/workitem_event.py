"""What subscribers are told of workitems (PS3.4 section CC.2.4), and what a change of one tells them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from storage.domain.workitem import SOP_CLASS_UID, DataSet, WorkitemState
from storage.domain.workitem_attributes import ATTRIBUTES, PROGRESS, first, items

WORKLIST_UID = "1.2.840.10008.5.1.4.34.5"  # UPS Global Subscription: every workitem there is and will be
FILTERED_UID = "1.2.840.10008.5.1.4.34.5.1"  # UPS Filtered Global Subscription: those that match


class EventType(IntEnum):
    """Event Type ID (Table CC.2.4-1), as far as we send them."""

    STATE_REPORT = 1
    CANCEL_REQUESTED = 2
    PROGRESS_REPORT = 3
    ASSIGNED = 5


@dataclass(frozen=True, slots=True)
class WorkitemEvent:
    """One event for one subscriber, as it waits to be sent."""

    event_id: int
    sop_instance_uid: str
    event_type: EventType
    information: DataSet


_STATE = ATTRIBUTES["ProcedureStepState"].tag
_READINESS = ATTRIBUTES["InputReadinessState"].tag
_STATION = ATTRIBUTES["ScheduledStationNameCodeSequence"].tag
_PERFORMERS = ATTRIBUTES["ScheduledHumanPerformersSequence"].tag
_PERFORMER_CODE, _PERFORMER_ORGANIZATION = "00404009", "00404036"
_WHY = ("00741238", "0074100E")
_REQUESTING_AE = "00741236"
_OF_PROGRESS = ("00741004", "00741006", "00741007", "00741008")


def state_report(state: WorkitemState, attributes: DataSet) -> DataSet:
    """What a State Report says."""
    said = next(items(attributes, PROGRESS), {})
    return {
        _STATE: {"vr": "CS", "Value": [str(state)]},
        _READINESS: attributes.get(_READINESS, {"vr": "CS"}),
    } | {tag: said[tag] for tag in _WHY if tag in said and state is WorkitemState.CANCELED}


def cancel_requested(requester: str, told: DataSet) -> DataSet:
    """What a Cancel Requested says: who asked, in place of an AE title the account, and why."""
    return told | {_REQUESTING_AE: {"vr": "AE", "Value": [requester[:16]]}}


def events_of_change(
    state: tuple[WorkitemState, WorkitemState], attributes: tuple[DataSet, DataSet]
) -> Iterator[tuple[EventType, DataSet]]:
    """What subscribers are told where a workitem was before and is after like this."""
    before, after = attributes
    if state[0] is not state[1] or before.get(_READINESS) != after.get(_READINESS):
        yield EventType.STATE_REPORT, state_report(state[1], after)
    progress = _progress(after)
    if state[1] is WorkitemState.IN_PROGRESS and progress and progress != _progress(before):
        yield EventType.PROGRESS_REPORT, {PROGRESS: {"vr": "SQ", "Value": [progress]}}
    assigned = _assigned(after)
    if assigned and assigned != _assigned(before):
        yield EventType.ASSIGNED, assigned


def _progress(attributes: DataSet) -> DataSet:
    said = next(items(attributes, PROGRESS), {})
    return {tag: said[tag] for tag in _OF_PROGRESS if tag in said}


def _assigned(attributes: DataSet) -> DataSet:
    station = {_STATION: attributes[_STATION]} if next(items(attributes, _STATION), None) else {}
    performer = next(items(attributes, _PERFORMERS), {})
    return station | {
        tag: performer[tag]
        for tag in (_PERFORMER_CODE, _PERFORMER_ORGANIZATION)
        if first(performer, tag) not in (None, "", {})
    }


def message(event: WorkitemEvent) -> DataSet:
    """The event as it is sent over a channel (PS3.18 section 8.10.5), in the DICOM JSON Model."""
    return {
        "00000002": {"vr": "UI", "Value": [SOP_CLASS_UID]},
        "00000110": {"vr": "US", "Value": [event.event_id % 65536]},
        "00001000": {"vr": "UI", "Value": [event.sop_instance_uid]},
        "00001002": {"vr": "US", "Value": [int(event.event_type)]},
        **event.information,
    }
