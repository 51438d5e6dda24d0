"""The figures of drift against scipy and by hand, and what is concluded from them."""

import math

import numpy as np
import pytest
from scipy import stats

from storage.domain.drift import (
    Comparison,
    DriftState,
    compare,
    holm,
    kolmogorov_smirnov,
    numbers_of,
    samples,
    stability_index,
)


def _normal(seed: int, size: int, mean: float = 0.0, sd: float = 1.0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(mean, sd, size)]


@pytest.mark.parametrize("sizes", [(30, 30), (200, 100), (1000, 37)])
@pytest.mark.parametrize("shift", [0.0, 0.2, 0.7, 3.0])
def test_the_test_of_kolmogorov_and_smirnov_is_that_of_scipy(sizes: tuple[int, int], shift: float) -> None:
    """D is equal; p is the limit distribution at the square root of the effective size times D."""
    baseline, window = _normal(1, sizes[0]), _normal(2, sizes[1], shift)

    distance, chance = kolmogorov_smirnov(baseline, window)

    assert distance == pytest.approx(stats.ks_2samp(baseline, window).statistic, abs=1e-12)
    effective = sizes[0] * sizes[1] / sum(sizes)
    assert chance == pytest.approx(stats.kstwobign.sf(math.sqrt(effective) * distance), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("statistic", [0.05, 0.3, 0.6, 0.9, 0.999, 1.0, 1.001, 1.5, 2.5, 4.0])
def test_the_limit_distribution_is_that_of_scipy_everywhere(statistic: float) -> None:
    """Both of its series, and where they meet: samples of one value each give a D of one, so the size decides."""
    count = 10_000
    share = statistic / math.sqrt(count / 2)
    window = [1.0 if place < round(share * count) else 0.0 for place in range(count)]

    distance, chance = kolmogorov_smirnov([0.0] * count, window)

    assert chance == pytest.approx(stats.kstwobign.sf(math.sqrt(count / 2) * distance), abs=1e-12)


def test_repeated_values_never_make_a_small_chance() -> None:
    """With few different values the p value is at least that of an exact permutation, so it alarms less often."""
    generator = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        baseline, window = (list(map(float, generator.integers(0, 4, size))) for size in (100, 60))
        alarms += kolmogorov_smirnov(baseline, window)[1] <= 0.05
    assert alarms <= 10


def test_the_index_is_what_a_hand_computes() -> None:
    """Of 1 to 10 each decile holds one; twenty values lie in three bins; each bin has half a result more."""
    baseline = [float(value) for value in range(1, 11)]
    window = [1.0] * 10 + [3.0] * 5 + [8.0] * 5

    terms = [(10.5 / 25, 0.1), (5.5 / 25, 0.1), (5.5 / 25, 0.1), *[(0.5 / 25, 0.1)] * 7]
    by_hand = sum((now - base) * math.log(now / base) for now, base in terms)

    assert stability_index(baseline, window) == pytest.approx(by_hand)
    assert stability_index(baseline, baseline) == 0


def test_a_number_that_never_differed_and_now_does_has_a_large_index() -> None:
    """A constant baseline has one bin for its value and one for what is above; below it there is the third."""
    assert stability_index([5.0] * 50, [5.0] * 50) == 0
    assert stability_index([5.0] * 50, [6.0] * 50) > 1
    assert stability_index([5.0] * 50, [4.0] * 50) > 1


def test_the_index_of_equal_spreads_is_what_theory_says() -> None:
    """Without any drift its mean is near (bins - 1) · (1/n + 1/m), which is why the index alone decides nothing."""
    found = [stability_index(_normal(seed, 200), _normal(seed + 10_000, 100)) for seed in range(300)]

    assert np.mean(found) == pytest.approx(9 * (1 / 200 + 1 / 100), rel=0.25)
    assert np.mean(np.array(found) > 0.1) > 0.5


def test_the_correction_is_that_of_holm() -> None:
    """The example of a textbook, in any order; none grows above one."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("index", "adjusted", "state"),
    [
        (0.30, 0.0005, DriftState.DRIFTED),
        (0.25, 0.001, DriftState.DRIFTED),
        (0.30, 0.01, DriftState.WATCH),
        (0.20, 0.0005, DriftState.WATCH),
        (0.30, 0.06, DriftState.STABLE),  # large, but chance may have made it
        (0.05, 1e-9, DriftState.STABLE),  # certain, but too small to matter
    ],
)
def test_a_drift_is_both_large_and_unlikely(index: float, adjusted: float, state: DriftState) -> None:
    """Each bound is in force, and neither is enough."""
    assert Comparison("x", index, 0.1, 0.0, adjusted).state is state


def test_too_few_results_say_nothing() -> None:
    """One value less than asked for, on either side, and there is no comparison however much differs."""
    few, enough = {"x": _normal(1, 29)}, {"x": _normal(2, 30, 9.0)}

    drifts = compare([(few, enough), (enough, few), ({}, {}), (enough, {"x": _normal(3, 30)})], 30)

    assert [drift.state for drift in drifts] == [DriftState.TOO_FEW] * 3 + [DriftState.DRIFTED]


def test_numbers_that_never_differ_are_not_counted() -> None:
    """They are enough to be stable, and do not weaken what does differ."""
    same = {f"same {number}": [1.0] * 40 for number in range(50)}
    (drift,) = compare([({**same, "x": _normal(1, 40)}, {**same, "x": _normal(2, 40, 0.8)})], 30)
    (constant,) = compare([(same, same)], 30)

    assert [one.name for one in drift.comparisons] == ["x"]
    assert drift.comparisons[0].adjusted == drift.comparisons[0].chance
    assert constant.state is DriftState.STABLE


def test_the_comparison_that_decides_stands_first() -> None:
    """The word of a group is that of its worst number."""
    baseline = {"calm": _normal(1, 200), "moved": _normal(2, 200)}
    window = {"calm": _normal(3, 100), "moved": _normal(4, 100, 2.0)}

    (drift,) = compare([(baseline, window)], 30)

    assert (drift.state, drift.comparisons[0].name) == (DriftState.DRIFTED, "moved")
    assert drift.comparisons[1].state is DriftState.STABLE


def test_the_numbers_of_a_result_are_named() -> None:
    """Spreads by place, sizes and scores; what is not known is left out."""
    spread = {"count": 5, "minimum": 0, "maximum": 9, "mean": 4, "sd": 2.5, "histogram": [5]}
    spread["percentiles"] = [0, 1, 2, 3, 4, 5, 6]

    found = numbers_of({"images": 30, "slice_spacing_mm": None}, {"received": spread}, {"probability of x": 0.5})

    assert found == {
        "number of images": 30.0,
        "received mean": 4.0,
        "received sd": 2.5,
        **{f"received p{part}": float(place) for place, part in enumerate((1, 5, 25, 50, 75, 95, 99))},
        "probability of x": 0.5,
    }
    assert samples([found, {"received mean": 5.0}])["received mean"] == [4.0, 5.0]
