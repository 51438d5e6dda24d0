"""When a study is complete: facts in, a decision and its evidence out.

The kinds of evidence stand in the database too, as a CHECK of ``revision_evidence``, and both tables of this file in
``docs/reference/completeness.md``; tests hold them equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from storage.domain.slice_positions import Slice, missing_slices

_SERIES_TOLD = 5


class EvidenceKind(StrEnum):
    """What a decision may rest on."""

    QUIET = "quiet"  # no new instance for the quiet time
    LONGEST_WAIT = "longest-wait"  # the study waited as long as it may
    COMMITMENT = "commitment"  # a request for storage commitment names its instances (PS3.4 annex J)
    AVAILABILITY = "availability"  # an Instance Availability Notification lists its instances (PS3.4 annex R)
    COUNT = "count"  # an archive says how many instances it has of it (C-FIND, PS3.4 annex C, or QIDO-RS)
    GEOMETRY = "geometry"  # the positions of the images of a series
    CONTRACT = "contract"  # how many images active algorithms need of a series
    SAID = "said"  # who sent it over the web said that this is all


class Use(NamedTuple):
    """What a kind of evidence may do to the wait."""

    ends_early: bool
    extends: bool
    chosen: bool  # only where `evidence` of the settings names it


USES: dict[EvidenceKind, Use] = {
    EvidenceKind.QUIET: Use(ends_early=False, extends=False, chosen=False),
    EvidenceKind.LONGEST_WAIT: Use(ends_early=False, extends=False, chosen=False),
    EvidenceKind.COMMITMENT: Use(ends_early=True, extends=True, chosen=True),
    EvidenceKind.AVAILABILITY: Use(ends_early=True, extends=True, chosen=True),
    EvidenceKind.COUNT: Use(ends_early=True, extends=True, chosen=True),
    EvidenceKind.GEOMETRY: Use(ends_early=False, extends=True, chosen=True),
    EvidenceKind.CONTRACT: Use(ends_early=False, extends=True, chosen=True),
    EvidenceKind.SAID: Use(ends_early=True, extends=False, chosen=False),
}


# What the images themselves let suppose; nobody says so, and it weighs once nothing more arrives.
_OF_THE_IMAGES = frozenset({EvidenceKind.GEOMETRY, EvidenceKind.CONTRACT})


class Word(StrEnum):
    """What one piece of evidence says of a study."""

    WHOLE = "whole"  # nothing lacks
    LACKING = "lacking"  # something is still to come
    SILENT = "silent"  # neither


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence; the sentence is for `overread explain` and names no patient."""

    kind: EvidenceKind
    word: Word
    sentence: str


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends: a calling AE title, or the account of a program that stores over the web."""

    name: str
    web: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.strip(" "))


@dataclass(frozen=True, slots=True)
class SourcePatience:
    """How long what one source sends is waited for, in seconds, and what evidence is believed of it.

    ``count_at`` names the destinations that are asked for their count.
    """

    quiet_seconds: float
    longest_wait_seconds: float
    evident_seconds: float
    evidence: frozenset[EvidenceKind] = frozenset()
    count_at: frozenset[str] = frozenset()

    def soonest(self) -> float:
        """The shortest quiet after which a study of this source can be complete."""
        if any(USES[kind].ends_early for kind in self.evidence):
            return min(self.quiet_seconds, self.evident_seconds)
        return self.quiet_seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """The patience with each source; ``usual`` is for those without an entry of their own."""

    usual: SourcePatience
    sources: Mapping[Source, SourcePatience] = field(default_factory=dict)

    @classmethod
    def of_quiet(cls, quiet_seconds: float) -> "Patience":
        """The same quiet time for everybody, and no other evidence."""
        return cls(SourcePatience(quiet_seconds, max(quiet_seconds, 7200.0), quiet_seconds))

    def believes(self, kind: EvidenceKind, source: Source) -> bool:
        """Whether this kind of evidence counts when it comes from this source."""
        return kind in self.sources.get(source, self.usual).evidence

    def with_all(self, sources: Iterable[Source]) -> SourcePatience:
        """The patience with a study of several sources: that with the slowest of them, and all their evidence."""
        each = [self.sources.get(source, self.usual) for source in sources] or [self.usual]
        return SourcePatience(
            max(one.quiet_seconds for one in each),
            max(one.longest_wait_seconds for one in each),
            max(one.evident_seconds for one in each),
            frozenset().union(*(one.evidence for one in each)),
            frozenset().union(*(one.count_at for one in each if EvidenceKind.COUNT in one.evidence)),
        )

    def counting(self) -> frozenset[str]:
        """Every destination that may be asked for its count."""
        each = (self.usual, *self.sources.values())
        return frozenset().union(*(one.count_at for one in each if EvidenceKind.COUNT in one.evidence))

    def soonest(self) -> float:
        """No study that has been quiet for fewer seconds than this can be complete, unless it waited too long."""
        return min(one.soonest() for one in (self.usual, *self.sources.values()))

    def shortest_longest_wait(self) -> float:
        """No study has waited too long before these seconds."""
        return min(one.longest_wait_seconds for one in (self.usual, *self.sources.values()))


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What is known of the instances of a study that no revision holds; seconds are of the database's clock."""

    instances: int
    quiet_for: float  # since the newest of them
    waited: float  # since the oldest of them
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the study is complete now, on what that rests, and all that was looked at; ``because`` is among it."""

    complete: bool
    because: EvidenceKind
    evidence: tuple[Evidence, ...]


class Rule(NamedTuple):
    """A row of the table below: ``None`` stands for either."""

    complete: bool
    because: str  # quiet, longest-wait, or the first evidence that is whole, lacking or gap
    lacking: bool | None = None  # a peer says that something is still to come
    whole: bool | None = None  # a peer says that this is all
    gap: bool | None = None  # the images of a series leave a gap, or are too few
    evident: bool | None = None  # quiet for evident_seconds
    quiet: bool | None = None  # quiet for quiet_seconds
    overdue: bool | None = None  # waited for longest_wait_seconds


# The first row that fits decides.
RULES = (
    Rule(True, "whole", lacking=False, whole=True, evident=True),
    Rule(True, "quiet", lacking=False, gap=False, quiet=True),
    Rule(True, "longest-wait", overdue=True),
    Rule(False, "lacking", lacking=True),
    Rule(False, "gap", gap=True, quiet=True),
    Rule(False, "quiet"),
)


def decide(facts: StudyFacts, patience: SourcePatience) -> Decision:
    """Whether a study is complete by these facts; evidence of a kind that is not believed must be left out."""
    told = [one for one in facts.evidence if one.kind not in _OF_THE_IMAGES]
    lacking = [one for one in told if one.word is Word.LACKING and USES[one.kind].extends]
    whole = [one for one in told if one.word is Word.WHOLE and USES[one.kind].ends_early]
    gaps = [one for one in facts.evidence if one.kind in _OF_THE_IMAGES and one.word is Word.LACKING]
    met = {
        "lacking": bool(lacking),
        "whole": bool(whole),
        "gap": bool(gaps),
        "evident": facts.quiet_for >= min(patience.evident_seconds, patience.quiet_seconds),
        "quiet": facts.quiet_for >= patience.quiet_seconds,
        "overdue": facts.waited >= max(patience.longest_wait_seconds, patience.quiet_seconds),
    }
    rule = next(rule for rule in RULES if _fits(rule, met))
    by_word = {"lacking": lacking, "whole": whole, "gap": gaps}
    if rule.because in by_word:
        return Decision(rule.complete, by_word[rule.because][0].kind, facts.evidence)
    clock = _by_the_clock(EvidenceKind(rule.because), facts, patience)
    return Decision(rule.complete, clock.kind, (*facts.evidence, clock))


def _fits(rule: Rule, met: Mapping[str, bool]) -> bool:
    return all(getattr(rule, name) in (None, value) for name, value in met.items())


def _by_the_clock(kind: EvidenceKind, facts: StudyFacts, patience: SourcePatience) -> Evidence:
    if kind is EvidenceKind.LONGEST_WAIT:
        longest = max(patience.longest_wait_seconds, patience.quiet_seconds)
        return Evidence(kind, Word.SILENT, f"It had waited for {longest:g} s, which is the longest wait.")
    if facts.quiet_for >= patience.quiet_seconds:
        return Evidence(kind, Word.SILENT, f"No new instance had arrived for {patience.quiet_seconds:g} s.")
    return Evidence(kind, Word.SILENT, f"New instances had arrived less than {patience.quiet_seconds:g} s before.")


# The kinds of which each message names instances, with the words for what a peer did.
NAMING: dict[EvidenceKind, str] = {
    EvidenceKind.COMMITMENT: "asked for storage commitment of",
    EvidenceKind.AVAILABILITY: "notified the availability of",
}


@dataclass(frozen=True, slots=True)
class AvailabilityNotice:
    """What a peer says that it holds of a study; titles are as the peer gave them."""

    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    calling_ae_title: str


class Named(NamedTuple):
    """How many instances peers named, and what lacks on either side."""

    named: int
    absent: int  # of those named, not here
    unnamed: int  # here, and not named
    aside: int = 0  # of those named, came and were set aside: not waited for, and without them nothing is whole
    ours: int = 0  # of those named, results of ours that only the peer holds: they never come


def naming_evidence(kind: EvidenceKind, sources: Iterable[Source], said: Named) -> Evidence:
    """What requests for storage commitment, or notifications of availability, say."""
    who = ", ".join(sorted(source.name for source in sources))
    asked = f"{who} {NAMING[kind]} {_count(said.named)}"
    not_waited_for = [
        f"{number} of them {what}"
        for number, what in ((said.aside, "set aside when they came"), (said.ours, "results of ours"))
        if number
    ]
    if not_waited_for:
        asked += f" ({', '.join(not_waited_for)}, and not waited for)"
    if said.absent:
        return Evidence(kind, Word.LACKING, f"{asked}, {said.absent} of which had not arrived.")
    if said.unnamed:
        more = f"and {_count(said.unnamed)} had arrived that it did not name"
        return Evidence(kind, Word.SILENT, f"{asked}, {more}.")
    if said.aside:
        return Evidence(kind, Word.SILENT, f"{asked}; all others had arrived.")
    others = "all others had arrived, and no more" if said.ours else "all had arrived, and no other"
    return Evidence(kind, Word.WHOLE, f"{asked}; {others}.")


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """A study that an archive is asked about; the time is that of the database."""

    study_id: int
    study_instance_uid: str
    destination: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class ArchiveCount:
    """What one archive said of a study: ``instances``, without our own results, or ``None`` with the reason.

    ``since`` says whether it was asked after the newest instance arrived here.
    """

    archive: str
    instances: int | None
    here: int
    since: bool
    note: str = ""


def count_evidence(counts: Sequence[ArchiveCount]) -> Evidence:
    """What archives say by their number of instances: an archive with more tells that something is still to come.

    One that was asked before the newest instance arrived, has fewer, or could not be asked, says nothing.
    """
    told = "; ".join(_counted(count) for count in counts)
    if any(count.instances is not None and count.instances > count.here for count in counts):
        word = Word.LACKING
    elif all(count.since and count.instances == count.here for count in counts):
        word = Word.WHOLE
    else:
        word = Word.SILENT
    return Evidence(EvidenceKind.COUNT, word, f"{told}.")


def _counted(count: ArchiveCount) -> str:
    if count.instances is None:
        return f"{count.archive} did not say how many instances it has{f' ({count.note})' if count.note else ''}"
    asked = "" if count.since else ", asked before the newest arrived"
    return f"{count.archive} had {_count(count.instances)} and {count.here} had arrived here{asked}"


def geometry_evidence(series: Mapping[str, Sequence[Slice]]) -> Evidence:
    """What the positions of the images say, by Series Instance UID; a study without gaps may still lack its end."""
    gaps = {uid: lacking for uid, slices in series.items() if (lacking := missing_slices(slices))}
    if not gaps:
        return Evidence(EvidenceKind.GEOMETRY, Word.SILENT, "No series had a gap.")
    told = "; ".join(f"series {uid} lacked {_images(gaps[uid])}" for uid in sorted(gaps)[:_SERIES_TOLD])
    more = f"; so did {len(gaps) - _SERIES_TOLD} other series" if len(gaps) > _SERIES_TOLD else ""
    return Evidence(EvidenceKind.GEOMETRY, Word.LACKING, f"By the positions of its images, {told}{more}.")


class LargestSeries(NamedTuple):
    """What a study has for an algorithm: the largest series of the modalities that it takes."""

    algorithm: str
    needs: int  # images of one series
    modality: str
    images: int


def contract_evidence(found: Sequence[LargestSeries]) -> Evidence:
    """What active algorithms need that take a modality of the study; of one that needs another, nothing is expected."""
    short = [one for one in found if one.images < one.needs]
    if not short:
        return Evidence(EvidenceKind.CONTRACT, Word.SILENT, "A series had images enough for each algorithm.")
    told = "; ".join(
        f"{one.algorithm} needs {_images(one.needs)} of a series, the largest {one.modality} series had {one.images}"
        for one in short[:_SERIES_TOLD]
    )
    more = f"; so it was with {len(short) - _SERIES_TOLD} other algorithms" if len(short) > _SERIES_TOLD else ""
    return Evidence(EvidenceKind.CONTRACT, Word.LACKING, f"{told[0].upper()}{told[1:]}{more}.")


def said_evidence(actor: str, instances: int) -> Evidence:
    """Account ``actor`` sent these and waits for what is found in them."""
    return Evidence(EvidenceKind.SAID, Word.WHOLE, f"{actor} sent {_count(instances)} and said that this was all.")


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _count(number: int) -> str:
    return "1 instance" if number == 1 else f"{number} instances"
