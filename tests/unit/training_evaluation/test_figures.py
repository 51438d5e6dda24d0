"""Each figure agrees with an independent implementation, also for weighted images and with ties."""

import numpy as np
import pytest
from sklearn import metrics

from training.evaluation.figures import (
    auroc,
    brier,
    calibration_error,
    calibration_offset,
    log_loss,
    once_per_group,
    reliability,
    sensitivity,
    specificity,
)


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, probabilities with many ties, and three weightings, some images left out."""
    random = np.random.default_rng(3)
    truth = random.random(120) < 0.4
    probability = np.round(np.clip(random.normal(0.4 + 0.2 * truth, 0.2), 0, 1), 1)
    return truth, probability, random.integers(0, 4, (3, 120)).astype(float)


def test_weights_mean_copies(case) -> None:
    """An image of weight n counts exactly as n copies of it, in every figure; scikit-learn says the same."""
    truth, probability, weights = case
    called = probability >= 0.5
    for row, found in enumerate(auroc(truth, probability, weights)):
        copies = np.repeat(np.arange(120), weights[row].astype(int))
        t, p, c = truth[copies], probability[copies], called[copies]
        assert found == pytest.approx(metrics.roc_auc_score(t, p))
        assert sensitivity(truth, called, weights)[row] == pytest.approx(metrics.recall_score(t, c))
        assert specificity(truth, called, weights)[row] == pytest.approx(metrics.recall_score(~t, ~c))
        assert brier(truth, probability, weights)[row] == pytest.approx(metrics.brier_score_loss(t, p))
        assert calibration_offset(truth, probability, weights)[row] == pytest.approx(p.mean() - t.mean())
        given = np.clip(probability, 1e-7, 1 - 1e-7)
        assert log_loss(truth, given, weights)[row] == pytest.approx(metrics.log_loss(t, given[copies]), rel=1e-5)


def test_calibration_error_is_zero_exactly_when_what_was_said_happened() -> None:
    """Four images said 0.25 of which one is positive: no error; none positive: an error of 0.25; all: of 0.75."""
    probability, row = np.full(4, 0.25), np.ones((1, 4))

    assert calibration_error(np.array([True, False, False, False]), probability, row, 10)[0] == pytest.approx(0)
    assert calibration_error(np.zeros(4, np.bool_), probability, row, 10)[0] == pytest.approx(0.25)
    assert calibration_error(np.ones(4, np.bool_), probability, row, 10)[0] == pytest.approx(0.75)


def test_a_certain_probability_has_a_bin(case) -> None:
    """1.0 belongs to the last bin, and every image to one."""
    truth, probability, weights = case

    weight, _, _ = reliability(truth, np.where(probability > 0.6, 1.0, probability), weights, 5)

    np.testing.assert_allclose(weight.sum(axis=1), weights.sum(axis=1))


def test_each_group_counts_once() -> None:
    """Whatever the number of its copies, a group's weights sum to one."""
    groups = np.array([4, 4, 7, 4, 9])

    weights = once_per_group(groups)

    assert [weights[groups == group].sum() for group in (4, 7, 9)] == pytest.approx([1, 1, 1])
