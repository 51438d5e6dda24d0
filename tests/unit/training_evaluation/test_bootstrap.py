"""Intervals come from groups: copies of an image make no figure surer."""

import numpy as np
import pytest

from training.evaluation.bootstrap import group_draws, percentile_interval
from training.evaluation.figures import sensitivity
from training.evaluation.judgement import judge
from training.settings import EvaluationSettings


def _spread(groups: np.ndarray, called: np.ndarray) -> float:
    truth = np.ones(len(groups), np.bool_)
    draws = group_draws(groups, truth, 20_000, np.random.default_rng(0))
    return float(sensitivity(truth, called, draws).std())


def test_independent_images_have_the_spread_of_the_binomial() -> None:
    """For n images of n groups, a share p has the standard error sqrt(p (1 - p) / n)."""
    called = np.arange(50) < 35

    assert _spread(np.arange(50), called) == pytest.approx(np.sqrt(0.7 * 0.3 / 50), rel=0.03)


def test_copies_do_not_narrow_an_interval() -> None:
    """Twelve copies of each of 50 images have the standard error of 50 images, not of 600."""
    groups = np.repeat(np.arange(50), 12)
    called = groups < 35

    assert _spread(groups, called) == pytest.approx(np.sqrt(0.7 * 0.3 / 50), rel=0.03)


def test_draws_are_those_of_whole_groups_within_each_class() -> None:
    """All images of a group are drawn as often, and each class keeps its number of groups, as a brute force does."""
    groups = np.array([0, 0, 1, 2, 2, 2, 3, 4])
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], np.bool_)

    draws = group_draws(groups, truth, 4000, np.random.default_rng(2))

    first = [np.flatnonzero(groups == group)[0] for group in range(5)]
    np.testing.assert_array_equal(draws, draws[:, first][:, groups])
    assert set(draws[:, first][:, :2].sum(axis=1)) == {2.0}
    assert set(draws[:, first][:, 2:].sum(axis=1)) == {3.0}
    random = np.random.default_rng(7)
    brute = [np.bincount(random.integers(0, 3, 3), minlength=3).var() for _ in range(4000)]
    assert np.mean(draws[:, first][:, 2:].var(axis=1)) == pytest.approx(np.mean(brute), rel=0.06)


def test_the_interval_is_the_middle_of_the_replicates() -> None:
    """A replicate without meaning (NaN) is left out; the value itself is the one of the data."""
    estimate = percentile_interval(0.5, np.append(np.arange(1001) / 1000, np.nan), 0.9)

    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.05, 0.95))


def test_a_judgement_holds_the_closed_form() -> None:
    """Predictions without information have an AUROC interval around one half, as wide as the closed form says.

    The variance under exchangeability is (m + n + 1) / (12 m n).
    """
    random = np.random.default_rng(4)
    truth = np.arange(200) < 100

    judged = judge(truth, random.random(200), np.arange(200), 0.5, EvaluationSettings(replicates=4000), seed=1)

    estimate = judged.by_group["auroc"]
    assert estimate.low < 0.5 < estimate.high
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * np.sqrt(201 / (12 * 100 * 100)), rel=0.1)
    assert judged.by_group == judged.by_image
    offset = judged.by_group["calibration_offset"]
    assert offset.low < offset.value < offset.high
    assert judged.by_group["calibration_error"].low is None
    outcomes = judged.confusion
    assert outcomes.true_positive + outcomes.false_negative == 100
    assert outcomes.true_negative + outcomes.false_positive == 100
    assert sum(one.images for one in judged.reliability) == 200
