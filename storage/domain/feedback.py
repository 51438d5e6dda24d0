"""What people and their systems say of our results: a verdict for each finding, and what share of them was accepted."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Facts = Mapping[str, Any]

WHOLE_RESULT = ""  # stands for a Tracking UID where a result has no finding: "nothing found" can be judged too


class Verdict(StrEnum):
    """What was said of one finding."""

    ACCEPT = "accept"
    REJECT = "reject"
    CHANGED = "changed"  # right in kind, and other in its outline, its code or its numbers


class FeedbackSource(StrEnum):
    """How it was said."""

    DASHBOARD = "dashboard"
    API = "api"
    SR = "sr"  # a structured report that came back
    KOS = "kos"  # a rejection note
    SEG = "seg"  # a segmentation that came back


# Said by somebody who is logged in; the others are said by an object, and have its SOP Instance UID.
SPOKEN = frozenset({FeedbackSource.DASHBOARD, FeedbackSource.API})

# In a page or a program one says right or wrong; what was changed, the changed object says.
SPOKEN_VERDICTS = (Verdict.ACCEPT, Verdict.REJECT)

VERDICT_WORDS: Mapping[str, str] = {
    Verdict.ACCEPT: "accepted",
    Verdict.REJECT: "rejected",
    Verdict.CHANGED: "changed",
}
SOURCE_WORDS: Mapping[str, str] = {
    FeedbackSource.DASHBOARD: "in the dashboard",
    FeedbackSource.API: "over the API",
    FeedbackSource.SR: "by a structured report",
    FeedbackSource.KOS: "by a rejection note",
    FeedbackSource.SEG: "by a segmentation",
}


@dataclass(frozen=True, slots=True)
class Feedback:
    """One verdict on one finding of a result.

    ``tracking_uid`` is the finding's Tracking UID (PS3.16 TID 1501), or ``WHOLE_RESULT``. ``actor`` is an account, or
    for an object the AE title or account that sent it: never a person's name from a data set.
    """

    result_id: int
    tracking_uid: str
    verdict: Verdict
    source: FeedbackSource
    actor: str
    sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class JudgedThing:
    """Something that a result says and that can be right or wrong: its Tracking UID, what it is, and what is said."""

    tracking_uid: str
    name: str
    said: str


def things_of(findings: Iterable[Facts]) -> list[JudgedThing]:
    """Everything that can be judged of a result with these stored findings; the whole, where it has none."""
    things = [JudgedThing(finding["tracking_uid"], _name(finding), _said(finding)) for finding in findings]
    return things or [JudgedThing(WHOLE_RESULT, "Whole result", "nothing found")]


def about(result_id: int, tracking_uid: str) -> str | int:
    """What a verdict is on: a finding by its Tracking UID, which it has in each repetition of its job, or a result."""
    return tracking_uid or result_id


def standing(feedback: Iterable[Facts]) -> dict[str | int, Facts]:
    """By what it is on the verdict that counts: the newest; ``feedback`` is in the order it was given in."""
    return {about(row["result_id"], row["tracking_uid"]): row for row in feedback}


def feedback_sentences(result: Facts, feedback: Iterable[Facts]) -> Iterator[str]:
    """What was said of one result, a sentence for each verdict, in the order in which they were given."""
    names = {thing.tracking_uid: thing.name for thing in things_of(result["findings"])}
    for row in feedback:
        if row["result_id"] == result["result_id"]:
            by = f" {row['sop_instance_uid']}" if row["sop_instance_uid"] else ""
            when = f"{row['recorded_at'][:10]} {row['recorded_at'][11:19]}Z"
            yield (
                f"{names.get(row['tracking_uid'], row['tracking_uid'])} was {VERDICT_WORDS[row['verdict']]} "
                f"{SOURCE_WORDS[row['source']]}{by} by {row['actor']} at {when}."
            )


def _name(finding: Facts) -> str:
    classification = finding.get("classification") or {}
    named = classification.get("label") or finding.get("label")
    if named:
        return str(named)
    site = finding.get("site")
    return str(finding["kind"]["meaning"]) + (f", {site['meaning']}" if site else "")


def _said(finding: Facts) -> str:
    """What the result says of it: found or not, or the first number of a structure."""
    classification = finding.get("classification")
    if classification:
        detection = finding.get("detection")
        if detection is not None and not detection["candidates"]:
            return "none found"
        found = "found" if classification["present"] else "not found"
        return f"{found}, probability {classification['probability']:.2f}"
    for one in finding.get("measurements") or ():
        unit = one["unit"]["value"]
        return f"{one['name']['meaning']} {one['value']:.4g}{'' if unit == '1' else ' ' + unit}"
    return "outlined"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What became of the findings of one version of an algorithm.

    ``findings`` counts each Tracking UID once, and a result without findings as one; ``judged`` of them have a verdict,
    of which the newest counts.
    """

    results: int
    findings: int
    accepted: int
    rejected: int
    changed: int

    @property
    def judged(self) -> int:
        """How many have a verdict."""
        return self.accepted + self.rejected + self.changed

    @property
    def share(self) -> float | None:
        """The share of those judged that was accepted as it was; ``None`` where none was judged."""
        return self.accepted / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson 95 % interval of the share."""
        return wilson(self.accepted, self.judged) if self.judged else None


_Z = 1.959963984540054  # the normal quantile of 0.975


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson, J. Am. Stat. Assoc. 22:209-212, 1927), without correction.

    It stays between 0 and 1 and has a width also where all or none succeeded. Raises ValueError without trials.
    """
    if trials < 1:
        raise ValueError("Nothing was tried, so there is no proportion.")
    share, square = successes / trials, _Z * _Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high
