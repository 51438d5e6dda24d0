"""The threshold is the one that its rule says, on validation images."""

import numpy as np
import pytest

from training.evaluation.threshold import chosen_threshold, rule_sentence
from training.settings import ThresholdSettings

TRUTH = np.array([0, 0, 0, 1, 0, 1, 1, 1, 1, 1], np.bool_)
PROBABILITY = np.arange(10) / 10 + 0.05
ONES = np.ones(10)


def test_the_highest_threshold_with_the_wanted_sensitivity_is_taken() -> None:
    """Five of six positives lie above 0.5; all six need a threshold below 0.35, where one more alarm is false."""
    five = chosen_threshold(TRUTH, PROBABILITY, ONES, ThresholdSettings(rule="sensitivity", at_least=0.8))
    six = chosen_threshold(TRUTH, PROBABILITY, ONES, ThresholdSettings(rule="sensitivity", at_least=1))

    assert five == pytest.approx(0.5)
    assert six == pytest.approx(0.3)


def test_youden_takes_the_best_sum() -> None:
    """At 0.5 sensitivity is 5/6 and specificity 1; no other threshold has a larger sum."""
    assert chosen_threshold(TRUTH, PROBABILITY, ONES, ThresholdSettings(rule="youden")) == pytest.approx(0.5)


def test_a_group_of_copies_counts_once() -> None:
    """Ninety copies of the one positive at the bottom do not pull the threshold down."""
    truth, probability = np.append(TRUTH, np.ones(90, np.bool_)), np.append(PROBABILITY, np.full(90, 0.01))
    weights = np.append(ONES, np.full(90, 1 / 90))
    settings = ThresholdSettings(rule="sensitivity", at_least=0.7)

    assert chosen_threshold(truth, probability, weights, settings) == pytest.approx(0.5)
    assert chosen_threshold(truth, probability, np.ones(100), settings) < 0.1


@pytest.mark.parametrize("probability", [np.zeros(10), np.ones(10), PROBABILITY])
@pytest.mark.parametrize("rule", ["sensitivity", "youden"])
def test_a_threshold_always_decides_something(probability: np.ndarray, rule: str) -> None:
    """It is above 0 and below 1, as manifests ask, even for a network that says the same of everything."""
    settings = ThresholdSettings(rule=rule, at_least=1)

    assert 0 < chosen_threshold(TRUTH, probability, ONES, settings) < 1


def test_the_rule_fits_into_a_manifest() -> None:
    """The sentence about the threshold says where it was chosen, in at most 200 letters."""
    for rule in ("sensitivity", "youden"):
        sentence = rule_sentence(ThresholdSettings(rule=rule))
        assert "validation" in sentence
        assert len(sentence) <= 200
