"""Objects that came back and may say something of our results: which of them mean which verdict.

`docs/reference/feedback.md` has the same tables; a test holds them equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from storage.domain.feedback import FeedbackSource, Verdict
from storage.domain.result import EvidenceForm, EvidenceRole

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
REPORT_CLASSES = "1.2.840.10008.5.1.4.1.1.88."  # and what follows: structured reports, Key Object Selection
SEGMENTATION_CLASSES = "1.2.840.10008.5.1.4.1.1.66."


class ReturnRule(StrEnum):
    """What was seen in an object."""

    VERIFIED_AS_MADE = "verified-as-made"
    VERIFIED_CHANGED = "verified-changed"
    VERIFIED_WITHOUT = "verified-without"
    REJECTED = "rejected"
    SEGMENT_CHANGED = "segment-changed"


RULES: Mapping[ReturnRule, tuple[FeedbackSource, Verdict]] = {
    ReturnRule.VERIFIED_AS_MADE: (FeedbackSource.SR, Verdict.ACCEPT),
    ReturnRule.VERIFIED_CHANGED: (FeedbackSource.SR, Verdict.CHANGED),
    ReturnRule.VERIFIED_WITHOUT: (FeedbackSource.SR, Verdict.REJECT),
    ReturnRule.REJECTED: (FeedbackSource.KOS, Verdict.REJECT),
    ReturnRule.SEGMENT_CHANGED: (FeedbackSource.SEG, Verdict.CHANGED),
}

# Titles of rejection notes (PS3.16 CID 7010, IHE IOCM) that say that what is named is wrong. A wrong worklist entry
# (113038) or an expired retention (113039) says nothing of what is in the object.
REJECTION_TITLES: Mapping[str, str] = {
    "113001": "Rejected for Quality Reasons",
    "113037": "Rejected for Patient Safety Reasons",
}

# What a rejection note must name for its findings to be rejected: a picture can be bad while its finding is right.
FINDING_ROLES = frozenset(
    {EvidenceRole.SEGMENTATION, EvidenceRole.STRUCTURE_SET, EvidenceRole.REPORT, EvidenceRole.DOCUMENT}
)


class ReturnedOutcome(StrEnum):
    """What became of the look at one object."""

    TAKEN = "taken"
    SAYS_NOTHING = "says-nothing"
    NOT_OURS = "not-ours"
    NOT_COMPARABLE = "not-comparable"
    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    GIVEN_UP = "given-up"


RETURNED_SENTENCES: Mapping[ReturnedOutcome, str] = {
    ReturnedOutcome.TAKEN: "it says something of a result of ours, and that was kept",
    ReturnedOutcome.SAYS_NOTHING: "it is about a result of ours and says nothing of whether that is right",
    ReturnedOutcome.NOT_OURS: "it is about no result of ours",
    ReturnedOutcome.NOT_COMPARABLE: (
        "its segments are encoded otherwise, or lie on another grid, so that they cannot be held against ours"
    ),
    ReturnedOutcome.TOO_LARGE: "it is larger than what is read for this",
    ReturnedOutcome.UNREADABLE: "it could not be read",
    ReturnedOutcome.MISSING: "its file, or that of the result it is about, is missing or damaged",
    ReturnedOutcome.GIVEN_UP: "looking at it never came to an end",
}


@dataclass(frozen=True, slots=True)
class OwnObject:
    """One evidence object of a result; ``sha256`` names its frozen file."""

    role: EvidenceRole
    form: EvidenceForm
    sop_instance_uid: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OwnResult:
    """One result that an object may be about: what can be judged of it, by Tracking UID, and its objects."""

    result_id: int
    things: frozenset[str]
    objects: tuple[OwnObject, ...]


@dataclass(frozen=True, slots=True)
class ReturnedObject:
    """One object to look at; ``sender`` is the account or AE title that sent it;
    ``sha256`` and ``size`` are those of its data set.

    ``results`` are those of its study that readers were shown, the newest first; ``is_own`` says that it bears the SOP
    Instance UID of an object of ours.
    """

    instance_id: int
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    sender: str
    sha256: str
    size: int
    is_own: bool
    results: tuple[OwnResult, ...]

    def result_of(self, tracking_uid: str) -> OwnResult | None:
        """The newest result with a finding of this Tracking UID."""
        return next((result for result in self.results if tracking_uid and tracking_uid in result.things), None)


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """One thing that an object says of one finding."""

    result_id: int
    tracking_uid: str
    rule: ReturnRule


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at an object came to."""

    outcome: ReturnedOutcome
    said: tuple[Said, ...] = ()
