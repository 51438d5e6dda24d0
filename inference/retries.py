"""Which failures of an analysis are tried again, and after how long: one literal table.

The same table stands in ``docs/reference/job-lifecycle.md``; a test holds the two equal. A failure of the images has
one of the codes of ``inference.evidence.not_analysed_reasons`` and is never tried again; only those that the worker
finds itself stand here.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class FaultClass(StrEnum):
    """What has to change before the same job can end otherwise."""

    TRANSIENT = "transient"  # nothing that anybody has to do
    INPUT = "input"  # the images, or what is stored of them
    ALGORITHM = "algorithm"  # the network, or its folder
    RESOURCE = "resource"  # memory, time, the disk or the device that the installation gives it


class Again(StrEnum):
    """When a job is tried again; each wait is drawn between half of the longest and all of it."""

    AT_ONCE = "at once"
    SOON = "soon"  # after 10 s, twice as long each time, 10 min at most
    AFTER_REPAIR = "after a repair"  # a person has to act first: 30 s, 5, 30 and 90 min
    ONCE = "once"  # soon, and given up when it ends a second process
    NEVER = "never"


# The longest waits after each attempt.
WAITS: dict[Again, tuple[timedelta, ...]] = {
    Again.AT_ONCE: (timedelta(0),),
    Again.SOON: tuple(min(timedelta(seconds=10) * 2**n, timedelta(minutes=10)) for n in range(7)),
    # The default five attempts last more than an hour even when every wait is drawn short.
    Again.AFTER_REPAIR: (timedelta(seconds=30), timedelta(minutes=5), timedelta(minutes=30), timedelta(minutes=90)),
}
WAITS[Again.ONCE] = WAITS[Again.SOON]


@dataclass(frozen=True, slots=True)
class FailureKind:
    """One code: what is at fault, and when the job is tried again."""

    fault: FaultClass
    again: Again


FAILURES: dict[str, FailureKind] = {
    "worker-stopped": FailureKind(FaultClass.TRANSIENT, Again.AT_ONCE),
    "database-unavailable": FailureKind(FaultClass.TRANSIENT, Again.SOON),
    "internal-error": FailureKind(FaultClass.TRANSIENT, Again.SOON),
    "inference-failed": FailureKind(FaultClass.TRANSIENT, Again.SOON),
    "damaged-object": FailureKind(FaultClass.INPUT, Again.NEVER),
    "unknown-record": FailureKind(FaultClass.INPUT, Again.NEVER),
    "artifact-unavailable": FailureKind(FaultClass.ALGORITHM, Again.AFTER_REPAIR),
    "prediction-failed": FailureKind(FaultClass.ALGORITHM, Again.SOON),
    "model-child-died": FailureKind(FaultClass.ALGORITHM, Again.ONCE),
    "invalid-output": FailureKind(FaultClass.ALGORITHM, Again.NEVER),
    "varying-output": FailureKind(FaultClass.ALGORITHM, Again.NEVER),
    "out-of-memory": FailureKind(FaultClass.RESOURCE, Again.ONCE),
    "analysis-too-slow": FailureKind(FaultClass.RESOURCE, Again.ONCE),
    "device-full": FailureKind(FaultClass.RESOURCE, Again.AFTER_REPAIR),
    "device-unavailable": FailureKind(FaultClass.RESOURCE, Again.AFTER_REPAIR),
    "storage-unavailable": FailureKind(FaultClass.RESOURCE, Again.AFTER_REPAIR),
    "model-child-not-started": FailureKind(FaultClass.RESOURCE, Again.AFTER_REPAIR),
    "decoders-unavailable": FailureKind(FaultClass.RESOURCE, Again.AFTER_REPAIR),
}
