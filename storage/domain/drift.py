"""Whether numbers are spread as those of a baseline: stability index, test of Kolmogorov and Smirnov, and words.

Everything is computed with the standard library; `docs/reference/monitoring.md` has the formulas in words.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage.domain.job_statistics import OVERLAP, PERCENTILES

_BINS = 10  # of the index, at the deciles of the baseline
_SMOOTHING = 0.5  # results that each bin is given beside its own, so that an empty one of few results weighs little

WATCH_INDEX, DRIFTED_INDEX = 0.1, 0.25  # the customary bounds of the index
WATCH_CHANCE, DRIFTED_CHANCE = 0.05, 0.001  # of the adjusted p value


class DriftState(StrEnum):
    """What is said of one algorithm on one scanner and protocol."""

    TOO_FEW = "too few"  # results for a comparison
    STABLE = "stable"
    WATCH = "watch"
    DRIFTED = "drifted"


_WORST_LAST = tuple(DriftState)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number compared with its baseline.

    ``index`` is the population stability index; ``distance`` the largest difference of the two cumulative shares, 0 to
    1; ``chance`` its asymptotic p value and ``adjusted`` that value after the correction for all comparisons of the
    same look.
    """

    name: str
    index: float
    distance: float
    chance: float
    adjusted: float = 1.0

    @property
    def state(self) -> DriftState:
        """Drifted or watch need both: a difference that is large, and one that chance hardly makes."""
        if self.index >= DRIFTED_INDEX and self.adjusted <= DRIFTED_CHANCE:
            return DriftState.DRIFTED
        if self.index >= WATCH_INDEX and self.adjusted <= WATCH_CHANCE:
            return DriftState.WATCH
        return DriftState.STABLE


def stability_index(baseline: Sequence[float], window: Sequence[float]) -> float:
    """The population stability index of two samples: the sum of (w - b) · ln(w / b) over bins.

    Bins lie between the deciles of the baseline, so that each holds a tenth of it; where values repeat, fewer remain.
    Each bin counts half a result more than it holds. The index has no unit; 0 means equal shares.
    """
    edges = _deciles(baseline)
    total = 0.0
    for base, now in zip(_shares(baseline, edges), _shares(window, edges), strict=True):
        total += (now - base) * math.log(now / base)
    return total


def _deciles(values: Sequence[float]) -> list[float]:
    """The inner edges, each once; where all values are one, that one and the next, so that another value is seen."""
    ordered = sorted(values)
    last = len(ordered) - 1
    edges = set()
    for step in range(1, _BINS):
        place = last * step / _BINS
        below = math.floor(place)
        above = min(below + 1, last)
        edges.add(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    if ordered[0] == ordered[-1]:
        edges.add(math.nextafter(ordered[0], math.inf))
    return sorted(edges)


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return [(count + _SMOOTHING) / (len(values) + _SMOOTHING * len(counts)) for count in counts]


def kolmogorov_smirnov(baseline: Sequence[float], window: Sequence[float]) -> tuple[float, float]:
    """The statistic D of two samples and its asymptotic two-sided p value.

    Where values repeat, the p value is too large, never too small: the test then says less.
    """
    first, second = sorted(baseline), sorted(window)
    distance = 0.0
    for value in {*first, *second}:
        share = bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second)
        distance = max(distance, abs(share))
    effective = len(first) * len(second) / (len(first) + len(second))
    return distance, _kolmogorov_survival(math.sqrt(effective) * distance)


def _kolmogorov_survival(statistic: float) -> float:
    """P(K > statistic) of Kolmogorov's distribution; of its two series the one that converges at once."""
    if statistic <= 0:
        return 1.0
    if statistic < 1.0:
        terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * statistic**2)) for k in range(1, 8))
        return max(0.0, 1.0 - math.sqrt(2 * math.pi) / statistic * sum(terms))
    terms = ((-1) ** (k - 1) * math.exp(-2 * k**2 * statistic**2) for k in range(1, 8))
    return min(1.0, max(0.0, 2 * sum(terms)))


def holm(chances: Sequence[float]) -> list[float]:
    """The p values adjusted for their number (Holm 1979), in the order given.

    Calling those up to α significant makes one mistake or more with a chance of α at most, however they depend on one
    another; and ours do, since a brighter image moves its mean and its percentiles alike.
    """
    adjusted = [1.0] * len(chances)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, chances[place] * (len(chances) - rank)))
        adjusted[place] = highest
    return adjusted


Samples = Mapping[str, Sequence[float]]  # the values of each number, one of each result


@dataclass(frozen=True, slots=True)
class Drift:
    """What is said of one group of results; ``comparisons`` begin with the one that speaks most for a drift."""

    state: DriftState
    comparisons: tuple[Comparison, ...]

    @property
    def worst(self) -> Comparison | None:
        """The comparison that decides."""
        return self.comparisons[0] if self.comparisons else None


def compare(pairs: Sequence[tuple[Samples, Samples]], least: int) -> list[Drift]:
    """Compare the second of each pair, a window, with the first, its baseline; all comparisons are one family.

    A number is compared where both have at least ``least`` values of it; a group without such a number has too few. A
    number that never differs is not compared.
    The p values are adjusted for all numbers of all groups given, so give those of one look at one algorithm together.
    """
    made = [_comparisons(baseline, window, least) for baseline, window in pairs]
    adjusted = iter(holm([one.chance for comparisons in made for one in comparisons]))
    return [
        _drift([_adjusted(one, next(adjusted)) for one in comparisons], _is_enough(*pair, least))
        for pair, comparisons in zip(pairs, made, strict=True)
    ]


def _is_enough(baseline: Samples, window: Samples, least: int) -> bool:
    return any(min(len(baseline[name]), len(window[name])) >= max(least, 1) for name in set(baseline) & set(window))


def _comparisons(baseline: Samples, window: Samples, least: int) -> list[Comparison]:
    return [
        Comparison(
            name, stability_index(baseline[name], window[name]), *kolmogorov_smirnov(baseline[name], window[name])
        )
        for name in sorted(set(baseline) & set(window))
        if min(len(baseline[name]), len(window[name])) >= max(least, 1) and _differ(baseline[name], window[name])
    ]


def _differ(baseline: Sequence[float], window: Sequence[float]) -> bool:
    """Whether there is anything to compare: a number that is the same in every result would only weaken the others."""
    return len({*baseline, *window}) > 1


def _adjusted(one: Comparison, adjusted: float) -> Comparison:
    return Comparison(one.name, one.index, one.distance, one.chance, adjusted)


def _drift(comparisons: list[Comparison], enough: bool) -> Drift:
    if not comparisons:
        return Drift(DriftState.STABLE if enough else DriftState.TOO_FEW, ())
    ordered = sorted(comparisons, key=lambda one: (-_WORST_LAST.index(one.state), one.adjusted, -one.index, one.name))
    return Drift(ordered[0].state, tuple(ordered))


def numbers_of(
    acquisition: Mapping[str, object], values: Mapping[str, Mapping[str, object]], scores: Mapping[str, float]
) -> dict[str, float]:
    """The numbers of one result that are compared, by name; its parts are those of ``JobStatistics.as_json``."""
    found = {name: acquisition.get(key) for name, key in _OF_ACQUISITION.items()}
    for place, spread in sorted(values.items()):
        found |= {f"{place} mean": spread["mean"], f"{place} sd": spread["sd"]}
        percentiles: Sequence[float] = spread["percentiles"]  # type: ignore[assignment]
        found |= {f"{place} p{part}": value for part, value in zip(PERCENTILES, percentiles, strict=True)}
    numbers = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    # How a shadow overlaps with the active version changes with that one too.
    return numbers | {name: float(score) for name, score in scores.items() if not name.startswith(OVERLAP)}


_OF_ACQUISITION = {
    "number of images": "images",
    "pixel spacing": "pixel_spacing_mm",
    "slice spacing": "slice_spacing_mm",
}


def samples(results: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """The numbers of many results, gathered by name."""
    gathered: dict[str, list[float]] = {}
    for numbers in results:
        for name, number in numbers.items():
            gathered.setdefault(name, []).append(number)
    return gathered
