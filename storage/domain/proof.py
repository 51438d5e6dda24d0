"""Proof of arrival: whether a destination still has what it acknowledged, object by object.

The table of transitions stands in the database too, as the rows of ``proof_transition``, and in
``docs/reference/proof-of-arrival.md``; a test holds the three equal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from storage.errors import InvalidTransition

MOST_RESENDS = 3  # an object that a destination loses again and again is for an operator
ABSENCES = 3  # so many questions in a row without the object: archives index what they took a little later


class ProofWay(StrEnum):
    """How a destination is asked."""

    NONE = "none"  # its acknowledgement is all there is
    QUERY = "query"  # C-FIND at the IMAGE level (PS3.4 annex C), or QIDO-RS (PS3.18 section 10.6)
    COMMITMENT = "commitment"  # Storage Commitment, push model (PS3.4 annex J)


class ProofState(StrEnum):
    """What is known of an acknowledged object."""

    OWED = "owed"  # the destination is to be asked
    ASKED = "asked"  # it was asked and has not answered
    PROVEN = "proven"  # it says that it has the object
    LOST = "lost"  # it says that it has not; the object is sent again
    UNPROVEN = "unproven"  # nobody asks any more; an operator decides


class ProofEvent(StrEnum):
    """What can happen to the proof of one object."""

    ACKNOWLEDGE = "acknowledge"  # the destination acknowledged the object, for the first time or again
    ASK = "ask"  # the question goes out, or goes out again because no answer came
    PROVE = "prove"  # the destination has the object; a report may come late, also after we gave up
    POSTPONE = "postpone"  # no word on the object; it is asked again
    LOSE = "lose"  # the destination has it not
    GIVE_UP = "give-up"  # asked too long, lost too often, another object is there, or it is not sent again
    REOPEN = "reopen"  # an operator wants it asked again


TRANSITIONS: dict[tuple[ProofState, ProofEvent], ProofState] = {
    (ProofState.OWED, ProofEvent.ACKNOWLEDGE): ProofState.OWED,
    (ProofState.OWED, ProofEvent.ASK): ProofState.ASKED,
    (ProofState.OWED, ProofEvent.PROVE): ProofState.PROVEN,
    (ProofState.OWED, ProofEvent.LOSE): ProofState.LOST,
    (ProofState.OWED, ProofEvent.GIVE_UP): ProofState.UNPROVEN,
    (ProofState.ASKED, ProofEvent.ACKNOWLEDGE): ProofState.OWED,
    (ProofState.ASKED, ProofEvent.ASK): ProofState.ASKED,
    (ProofState.ASKED, ProofEvent.PROVE): ProofState.PROVEN,
    (ProofState.ASKED, ProofEvent.POSTPONE): ProofState.OWED,
    (ProofState.ASKED, ProofEvent.LOSE): ProofState.LOST,
    (ProofState.ASKED, ProofEvent.GIVE_UP): ProofState.UNPROVEN,
    (ProofState.PROVEN, ProofEvent.ACKNOWLEDGE): ProofState.OWED,
    (ProofState.LOST, ProofEvent.ACKNOWLEDGE): ProofState.OWED,
    (ProofState.LOST, ProofEvent.GIVE_UP): ProofState.UNPROVEN,
    (ProofState.UNPROVEN, ProofEvent.ACKNOWLEDGE): ProofState.OWED,
    (ProofState.UNPROVEN, ProofEvent.PROVE): ProofState.PROVEN,
    (ProofState.UNPROVEN, ProofEvent.LOSE): ProofState.LOST,
    (ProofState.UNPROVEN, ProofEvent.GIVE_UP): ProofState.UNPROVEN,
    (ProofState.UNPROVEN, ProofEvent.REOPEN): ProofState.OWED,
}


def next_proof_state(state: ProofState, event: ProofEvent) -> ProofState:
    """The state that follows ``event`` in ``state``.

    Raises:
        InvalidTransition: the table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(f"A proof that is {state} does not accept {event}.") from None


class Word(StrEnum):
    """What a destination says of one object."""

    HELD = "held"
    ABSENT = "absent"  # a query did not find it, which may be too early
    LOST = "lost"  # it says itself that it has no such object
    OTHER = "other"  # under this UID it has something else, or it never commits to its class
    UNSAID = "unsaid"


@dataclass(frozen=True, slots=True)
class ObjectAnswer:
    """The word on one object; ``reason`` is a Failure Reason (PS3.3 section C.14.1.1) or DIMSE status, if there is one.

    ``note`` is one sentence for an operator and never repeats text from the peer.
    """

    sop_instance_uid: str
    word: Word
    note: str = ""
    reason: int | None = None


class FailureRule(NamedTuple):
    """What a Failure Reason comes to."""

    word: Word
    note: str


# PS3.3 section C.14.1.1; any other reason is asked about again.
FAILURE_RULES: dict[int, FailureRule] = {
    0x0110: FailureRule(Word.UNSAID, "The destination failed while it looked for the object (0x0110)."),
    0x0112: FailureRule(Word.LOST, "The destination says that it has no such object (0x0112)."),
    0x0119: FailureRule(
        Word.OTHER,
        "Under this UID the destination has an object of another SOP Class (0x0119); find out there where it is from.",
    ),
    0x0122: FailureRule(
        Word.OTHER,
        "The destination does not commit to storing this SOP Class (0x0122); enable it there, or set "
        'proof = "query" for it.',
    ),
    0x0131: FailureRule(Word.UNSAID, "The destination took the request for one that it had before (0x0131)."),
    0x0213: FailureRule(Word.UNSAID, "The destination had no room to look for the object (0x0213)."),
}
_OTHER_FAILURE = FailureRule(Word.UNSAID, "The destination gave a reason that the Standard does not define.")


def failure_answer(sop_instance_uid: str, reason: int) -> ObjectAnswer:
    """The word on an object that a report of storage commitment names as failed."""
    rule = FAILURE_RULES.get(reason, _OTHER_FAILURE)
    return ObjectAnswer(sop_instance_uid, rule.word, rule.note, reason)


@dataclass(frozen=True, slots=True)
class ProofPolicy:
    """How patiently one destination is asked: seconds and hours of the database's clock."""

    way: ProofWay
    after_seconds: float
    again_seconds: float
    give_up_hours: float


@dataclass(frozen=True, slots=True)
class ProofWish:
    """What is to be asked of an object once it is acknowledged."""

    way: ProofWay
    after_seconds: float


@dataclass(frozen=True, slots=True)
class ProofObject:
    """One object that a destination acknowledged."""

    delivery_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """One question to one destination.

    ``request_uid`` is random and new each time: the fence of its answers and the Transaction UID of a commitment.
    """

    request_uid: str
    destination: str
    way: ProofWay
    objects: tuple[ProofObject, ...]
