"""The states of a workitem, a Unified Procedure Step (PS3.4 section CC.1.1), and what is answered to each request.

The same table stands in ``docs/reference/ups.md`` and, as far as states follow one another, in the database; tests
hold them equal. It is Table CC.1.1-2, with the lock that is told set apart from the request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.domain.job import Priority
from storage.errors import StorageError

SOP_CLASS_UID = "1.2.840.10008.5.1.4.34.6.1"  # UPS Push; of whatever service class, this is a workitem's own

DataSet = dict[str, Any]  # by tags as eight hexadecimal digits, in the DICOM JSON Model (PS3.18 annex F)


class WorkitemState(StrEnum):
    """Where a workitem stands (Table CC.1.1-1)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


FINAL_STATES = frozenset({WorkitemState.COMPLETED, WorkitemState.CANCELED})


class WorkitemRequest(StrEnum):
    """What can be asked of a workitem that is there."""

    SCHEDULE = "schedule"  # change of state to SCHEDULED
    CLAIM = "claim"  # change of state to IN PROGRESS
    COMPLETE = "complete"  # change of state to COMPLETED
    CANCEL = "cancel"  # change of state to CANCELED, by who claimed it
    REQUEST_CANCEL = "request-cancel"  # by anybody else
    UPDATE = "update"


class Lock(StrEnum):
    """Which Transaction UID a request tells; nothing but the workitem's own is right, and a new one where none is."""

    NONE = "none"
    RIGHT = "right"
    WRONG = "wrong"


class WorkitemPriority(StrEnum):
    """Scheduled Procedure Step Priority (0074,1200)."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


PRIORITIES: dict[WorkitemPriority, Priority] = {
    WorkitemPriority.HIGH: Priority.STAT,
    WorkitemPriority.MEDIUM: Priority.ROUTINE,
    WorkitemPriority.LOW: Priority.LOW,
}


@dataclass(frozen=True, slots=True)
class WorkitemStatus:
    """How a request ended: the status of the DIMSE service (PS3.4 annex CC), that of HTTP and the text of a Warning."""

    code: int
    http: int
    warning: str = ""


_INCONSISTENT = "The submitted request is inconsistent with the current state of the UPS Instance."

STATUSES: dict[int, WorkitemStatus] = {
    status.code: status
    for status in (
        WorkitemStatus(0x0000, 200),
        WorkitemStatus(0x0111, 409, "The Workitem already exists."),
        WorkitemStatus(0xB300, 201, "The Workitem was created with modifications."),
        WorkitemStatus(0xB304, 200, "The UPS is already in the requested state of CANCELED."),
        WorkitemStatus(0xB305, 200, "The Workitem was updated with modifications."),
        WorkitemStatus(0xB306, 200, "The UPS is already in the requested state of COMPLETED."),
        WorkitemStatus(0xC300, 409, _INCONSISTENT),
        WorkitemStatus(0xC301, 400, "The Transaction UID is incorrect."),
        WorkitemStatus(0xC302, 409, _INCONSISTENT),
        WorkitemStatus(0xC303, 409, _INCONSISTENT),
        WorkitemStatus(0xC304, 409, _INCONSISTENT),
        WorkitemStatus(0xC307, 404, "The Target URI did not reference a Workitem."),
        WorkitemStatus(0xC310, 409, _INCONSISTENT),
        WorkitemStatus(0xC311, 409, _INCONSISTENT),
        WorkitemStatus(0xC312, 409, "The performer cannot be contacted."),
    )
}
SUCCESS = STATUSES[0x0000]
MISSING_LOCK = WorkitemStatus(0xC301, 400, "The Transaction UID is missing.")

_S, _P, _D, _X = (
    WorkitemState.SCHEDULED,
    WorkitemState.IN_PROGRESS,
    WorkitemState.COMPLETED,
    WorkitemState.CANCELED,
)
_BOTH = (Lock.RIGHT, Lock.WRONG)

# What a request with such a lock does to a workitem of each state: the state that follows, or the status it is
# answered with. A state that follows itself stays as it is. What nobody has claimed has no wrong lock.
_ROWS: tuple[tuple[WorkitemRequest, tuple[Lock, ...], dict[WorkitemState, WorkitemState | int]], ...] = (
    (WorkitemRequest.SCHEDULE, tuple(Lock), {_S: 0xC303, _P: 0xC303, _D: 0xC303, _X: 0xC303}),
    (WorkitemRequest.CLAIM, (Lock.RIGHT,), {_S: _P, _P: 0xC302, _D: 0xC300, _X: 0xC300}),
    (WorkitemRequest.CLAIM, (Lock.NONE, Lock.WRONG), {_S: 0xC301, _P: 0xC301, _D: 0xC301, _X: 0xC301}),
    (WorkitemRequest.COMPLETE, (Lock.RIGHT,), {_S: 0xC310, _P: _D, _D: 0xB306, _X: 0xC300}),
    (WorkitemRequest.COMPLETE, (Lock.NONE, Lock.WRONG), {_S: 0xC301, _P: 0xC301, _D: 0xC301, _X: 0xC301}),
    (WorkitemRequest.CANCEL, (Lock.RIGHT,), {_S: 0xC310, _P: _X, _D: 0xC300, _X: 0xB304}),
    (WorkitemRequest.CANCEL, (Lock.NONE, Lock.WRONG), {_S: 0xC301, _P: 0xC301, _D: 0xC301, _X: 0xC301}),
    (WorkitemRequest.REQUEST_CANCEL, tuple(Lock), {_S: _X, _P: _P, _D: 0xC311, _X: 0xB304}),
    (WorkitemRequest.UPDATE, (Lock.NONE,), {_S: _S, _P: 0xC301, _D: 0xC300, _X: 0xC300}),
    (WorkitemRequest.UPDATE, (Lock.RIGHT,), {_S: 0xC310, _P: _P, _D: 0xC300, _X: 0xC300}),
    (WorkitemRequest.UPDATE, (Lock.WRONG,), {_S: 0xC310, _P: 0xC301, _D: 0xC300, _X: 0xC300}),
)
ANSWERS: dict[tuple[WorkitemRequest, Lock, WorkitemState], WorkitemState | int] = {
    (request, lock, state): answer
    for request, locks, by_state in _ROWS
    for lock in locks
    for state, answer in by_state.items()
}

# One state follows another; a request to cancel what is SCHEDULED takes both steps (PS3.4 section CC.2.2.3).
STEPS: frozenset[tuple[WorkitemState, WorkitemState]] = frozenset({(_S, _P), (_P, _D), (_P, _X)})


class WorkitemRefused(StorageError):
    """A request that the Standard has a status for."""

    def __init__(self, status: WorkitemStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


def lock_told(transaction_uid: str, of_workitem: str | None) -> Lock:
    """Which lock a request tells; ``of_workitem`` is ``None`` where nobody has claimed it."""
    if not transaction_uid:
        return Lock.NONE
    return Lock.RIGHT if of_workitem in (None, transaction_uid) else Lock.WRONG


def answer_to(request: WorkitemRequest, lock: Lock, state: WorkitemState) -> tuple[WorkitemState, WorkitemStatus]:
    """The state that follows and the status of the answer.

    Raises:
        WorkitemRefused: nothing may follow.
    """
    answer = ANSWERS[request, lock, state]
    if isinstance(answer, WorkitemState):
        return answer, SUCCESS
    status = MISSING_LOCK if answer == MISSING_LOCK.code and lock is Lock.NONE else STATUSES[answer]
    if status.http < 300:  # a warning: it is so already
        return state, status
    raise WorkitemRefused(status, _SENTENCES[answer].format(state=state))


_SENTENCES: Mapping[int, str] = {
    0xC300: "The workitem is {state} and can no longer be changed; create another one.",
    0xC301: "Only who claimed the workitem may do this; tell the Transaction UID (0008,1195) that it was claimed with.",
    0xC302: "The workitem is in progress already; look for another one.",
    0xC303: "A workitem is SCHEDULED by its creation only; create another one.",
    0xC310: "The workitem is {state}; claim it first, or leave the Transaction UID out.",
    0xC311: "The workitem is COMPLETED, so it is not canceled.",
}


@dataclass(frozen=True, slots=True)
class NewWorkitem:
    """A workitem as it is created."""

    sop_instance_uid: str
    attributes: DataSet


@dataclass(frozen=True, slots=True)
class Workitem:
    """A workitem as anybody may see it, without its Transaction UID; ``ours`` where it names an algorithm of ours."""

    sop_instance_uid: str
    state: WorkitemState
    attributes: DataSet
    changed_at: datetime
    ours: bool = False
