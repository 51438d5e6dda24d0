"""Studies as they arrive: what was received, and when a study counts as stable."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from storage.domain.image_record import ImageRecord


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The few attributes read from an instance at the door; names are the Standard's keywords in snake case.

    Text is decoded and stripped; an absent attribute is the empty string or ``None``.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    study_date: date | None = None
    modality: str = ""
    body_part_examined: str = ""
    series_description: str = ""
    series_number: int | None = None
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class StudySize:
    """How many instances of a study are held, and how many bytes their data sets have."""

    instances: int
    bytes: int


class KeepOutcome(StrEnum):
    """What became of an instance that the spool was asked to keep."""

    STORED = "stored"  # durable now
    ALREADY_HELD = "already-held"  # same UID, same bytes: durable before, no second copy
    CONFLICT = "conflict"  # same UID, other bytes: the first stays, the second is in quarantine


class QuarantineReason(StrEnum):
    """Why received bytes were set aside instead of being stored."""

    CONFLICT = "conflict"
    UNPARSABLE = "unparsable"
    IDENTITY_MISMATCH = "identity-mismatch"
    MALFORMED_IDENTIFIER = "malformed-identifier"
    DAMAGED = "damaged"


QUARANTINE_SENTENCES: dict[QuarantineReason, str] = {
    QuarantineReason.CONFLICT: (
        "An instance with this SOP Instance UID but other bytes was already held; the first copy stays, "
        "this one was set aside and the sender was answered 0x0111."
    ),
    QuarantineReason.UNPARSABLE: (
        "The data set could not be read as DICOM; it was set aside and the sender was answered 0xC000."
    ),
    QuarantineReason.IDENTITY_MISMATCH: (
        "The UIDs in the data set differ from those it was sent under, or a required one is missing; "
        "it was set aside and the sender was answered 0xA900."
    ),
    QuarantineReason.MALFORMED_IDENTIFIER: (
        "A UID does not follow the Standard; the object was set aside and the sender was answered 0xA900."
    ),
    QuarantineReason.DAMAGED: (
        "The bytes on disk no longer match the digest of what was acknowledged; they were set aside, so send the "
        "instance again and check the disk."
    ),
}


class ExclusionRule(StrEnum):
    """Why a stored instance does not count towards the study that is analysed."""

    OWN_RESULT = "own-result"  # one of our results, sent back to us
    SELF_TEST = "self-test"  # a study by which a destination was tried; see storage.domain.self_test
    AI_RESULT = "ai-result"  # an image that says that an algorithm made it; see storage.domain.ai_object
    DERIVED_OBJECT = "derived-object"  # no acquired image, by its SOP class; see storage.domain.derived_object


EXCLUSION_SENTENCES: dict[ExclusionRule, str] = {
    ExclusionRule.OWN_RESULT: "The instance is a result of ours that was sent back to us, so it does not count.",
    ExclusionRule.SELF_TEST: (
        "The instance belongs to a self-test of Overread, made by `overread destinations probe`; it is kept, and never "
        "analysed."
    ),
    ExclusionRule.AI_RESULT: (
        "The instance is an image that says of itself that an algorithm made it, such as a picture of ours under "
        "another UID or one of another AI node; it is kept, but neither analysed nor a cause to analyse the study "
        "again."
    ),
    ExclusionRule.DERIVED_OBJECT: (
        "The instance is not an acquired image but an object about images, such as a report, a presentation state or "
        "a segmentation; it is kept, but neither analysed nor a cause to analyse the study again."
    ),
}


class StudyState(StrEnum):
    """What an administrator sees of a study; derived from rows, never stored."""

    RECEIVING = "receiving"  # instances were still arriving less than quiet_seconds ago
    QUEUED = "queued"  # stable, a job waits
    ANALYSING = "analysing"  # a worker holds the job
    DELIVERING = "delivering"  # results exist and are on their way
    DONE = "done"  # every result is at every destination
    NOT_ANALYSED = "not-analysed"  # no algorithm takes it; the reason is kept
    FAILED = "failed"  # a job or a delivery was given up; the reason is kept
    PARKED = "parked"  # held back by a rule, such as two patients in one study
    CANCELED = "canceled"  # an operator stopped it


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """One instance as kept: its identity, and the Part 10 file that holds the bytes as received."""

    header: InstanceHeader
    path: Path
    sha256: str  # of the data set as received, without preamble and file meta information
    size: int  # bytes of that data set
    image: ImageRecord | None = None  # of those imported by an earlier release, and of what is no image, there is none


@dataclass(frozen=True, slots=True)
class StableStudy:
    """One revision of a study: exactly the instances that were there when it became stable."""

    study_instance_uid: str
    revision: int
    patient_id: str
    issuer_of_patient_id: str
    stable_at: datetime
    instances: tuple[StoredInstance, ...]
