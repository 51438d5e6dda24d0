"""How far two versions of an algorithm agree on the studies that both have looked at.

Nothing here knows which of the two is right: that needs a reference, which a shadow run does not have.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one version said of a study: ``outcome`` is ``analysed``, ``not-analysed`` or ``failed``.

    ``present`` says of each class whether it counts as present; ``numbers`` are probabilities and measurements by name;
    ``seconds`` is what its stages took together; ``overlaps`` is, of a shadow, the Dice of each structure with the
    other version's.
    """

    job_id: int
    outcome: str
    present: Mapping[str, bool] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    overlaps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """One study, analysed by both; ``groups`` are what it counts under, such as its modality, by the kind of group."""

    study_instance_uid: str
    active: Analysis
    shadow: Analysis
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """One class: the four cells, and Cohen's kappa; ``None`` where both say the same of every study by chance alone."""

    label: str
    both: int
    only_active: int
    only_shadow: int
    neither: int

    @property
    def studies(self) -> int:
        """On how many studies both said something of the class."""
        return self.both + self.only_active + self.only_shadow + self.neither

    @property
    def agreement(self) -> float:
        """The share of studies on which both said the same."""
        return (self.both + self.neither) / self.studies

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond what the two would have by chance, 1 for all of it."""
        active, shadow = self.both + self.only_active, self.both + self.only_shadow
        count = self.studies
        chance = (active * shadow + (count - active) * (count - shadow)) / count**2
        return None if chance >= 1 else (self.agreement - chance) / (1 - chance)


@dataclass(frozen=True, slots=True)
class NumberAgreement:
    """One number: shadow minus active, in its own unit, after Bland and Altman (1986).

    ``lower`` and ``upper`` are the limits between which 95 of 100 differences lie if they are spread normally;
    ``relative`` is the mean of \\|difference\\| over the mean of the two, without a unit.
    """

    name: str
    studies: int
    bias: float
    lower: float
    upper: float
    relative: float


@dataclass(frozen=True, slots=True)
class OverlapAgreement:
    """One structure: on how many studies one of the two outlined it, and the middle and the smallest Dice, 0 to 1."""

    label: str
    studies: int
    median: float
    worst: float


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One study to look at, and why."""

    study_instance_uid: str
    active_job_id: int
    shadow_job_id: int
    reasons: tuple[str, ...]


def outcomes(pairs: Iterable[Pair]) -> dict[tuple[str, str], int]:
    """How the two ended, active first, and on how many studies."""
    return dict(sorted(Counter((pair.active.outcome, pair.shadow.outcome) for pair in pairs).items()))


def classes(pairs: Sequence[Pair]) -> list[ClassAgreement]:
    """Each class of which both said something."""
    cells: dict[str, Counter[tuple[bool, bool]]] = {}
    for pair in pairs:
        for label in pair.active.present.keys() & pair.shadow.present.keys():
            cells.setdefault(label, Counter())[pair.active.present[label], pair.shadow.present[label]] += 1
    return [
        ClassAgreement(label, of[True, True], of[True, False], of[False, True], of[False, False])
        for label, of in sorted(cells.items())
    ]


def numbers(pairs: Sequence[Pair]) -> list[NumberAgreement]:
    """Each number that both gave."""
    found: dict[str, list[tuple[float, float]]] = {}
    for pair in pairs:
        for name in pair.active.numbers.keys() & pair.shadow.numbers.keys():
            found.setdefault(name, []).append((pair.active.numbers[name], pair.shadow.numbers[name]))
    return [_number(name, both) for name, both in sorted(found.items())]


def overlaps(pairs: Iterable[Pair]) -> list[OverlapAgreement]:
    """Each structure whose overlap was computed, which is when the shadow was done after the active version."""
    found: dict[str, list[float]] = {}
    for pair in pairs:
        for label, dice in pair.shadow.overlaps.items():
            found.setdefault(label, []).append(dice)
    return [
        OverlapAgreement(label, len(values), quantile(values, 0.5) or 0.0, min(values))
        for label, values in sorted(found.items())
    ]


def _number(name: str, both: Sequence[tuple[float, float]]) -> NumberAgreement:
    differences = [shadow - active for active, shadow in both]
    bias = sum(differences) / len(differences)
    squares = sum((difference - bias) ** 2 for difference in differences)
    spread = math.sqrt(squares / (len(differences) - 1)) if len(differences) > 1 else 0.0
    relative = sum(relative_difference(*values) for values in both) / len(both)
    return NumberAgreement(name, len(both), bias, bias - 1.96 * spread, bias + 1.96 * spread, relative)


def relative_difference(active: float, shadow: float) -> float:
    """The size of the difference over the mean of both sizes: 0 when equal, 2 when one of them is nothing."""
    size = (abs(active) + abs(shadow)) / 2
    return abs(shadow - active) / size if size else 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much two versions may differ before a study is listed.

    ``measurement`` is a relative difference, ``probability`` the difference of two probabilities, 0 to 1, and ``dice``
    the least overlap of a structure.
    """

    measurement: float
    probability: float = 1.0
    dice: float = 0.0


def disagreements(pairs: Iterable[Pair], limits: Limits) -> list[Disagreement]:
    """The studies to look at: another outcome, another class, or a number or an overlap beyond the limits.

    A class or a measurement that only one of them told counts as well, such as one that has another name now. A
    probability that only one of them told does not: a detection without a box of a class tells none.
    """
    listed = []
    for pair in pairs:
        reasons = tuple(_reasons(pair, limits))
        if reasons:
            listed.append(Disagreement(pair.study_instance_uid, pair.active.job_id, pair.shadow.job_id, reasons))
    return listed


def _reasons(pair: Pair, limits: Limits) -> Iterable[str]:
    active, shadow = pair.active, pair.shadow
    if active.outcome != shadow.outcome:
        yield f"outcome: {active.outcome} / {shadow.outcome}"
        return  # what only one of them said follows from that
    for label in sorted(active.present.keys() | shadow.present.keys()):
        told = active.present.get(label), shadow.present.get(label)
        if told[0] != told[1]:
            yield f"{label}: {_word(told[0])} / {_word(told[1])}"
    for name in sorted(active.numbers.keys() | shadow.numbers.keys()):
        one, other = active.numbers.get(name), shadow.numbers.get(name)
        if name.startswith(PROBABILITY):
            if one is not None and other is not None and abs(one - other) > limits.probability:
                yield f"{name}: {_figure(one)} / {_figure(other)}"
        elif one is None or other is None or relative_difference(one, other) > limits.measurement:
            yield f"{name}: {_figure(one)} / {_figure(other)}"
    for label, dice in sorted(shadow.overlaps.items()):
        if dice < limits.dice:
            yield f"{label}: Dice {dice:.3f}"


PROBABILITY = "probability of "
_UNTOLD = "not told"


def _word(present: bool | None) -> str:
    return {True: "present", False: "absent", None: _UNTOLD}[present]


def _figure(value: float | None) -> str:
    return _UNTOLD if value is None else plain_number(value)


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value that this share of values stays below, between neighbours by proportion; ``None`` of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def plain_number(value: float) -> str:
    """Four significant digits, and no power of ten of what is large: readers compare areas in mm2, not exponents."""
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
