"""The probability from which on an image counts as positive, chosen on validation images."""

import numpy as np

from training.evaluation.figures import Flags, Numbers, sensitivity, specificity
from training.settings import ThresholdSettings

_LEAST, _MOST = 1e-4, 1 - 1e-4  # a threshold of 0 or 1 would decide nothing


def chosen_threshold(truth: Flags, probability: Numbers, weights: Numbers, settings: ThresholdSettings) -> float:
    """The threshold that the rule picks on these images.

    Candidates lie halfway between neighbouring probabilities, so that no image sits on the edge.
    """
    levels = np.unique(probability)
    middles = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    candidates = np.clip(np.round(middles, 6), _LEAST, _MOST)
    row = weights[np.newaxis]
    found = np.array([float(sensitivity(truth, probability >= one, row)[0]) for one in candidates])
    if settings.rule == "sensitivity":
        return float(candidates[np.flatnonzero(found >= settings.at_least - 1e-9).max(initial=0)])
    spared = np.array([float(specificity(truth, probability >= one, row)[0]) for one in candidates])
    return float(candidates[np.argmax(found + spared)])


def rule_sentence(settings: ThresholdSettings) -> str:
    """How the threshold came about, as a clause that follows the number in reports."""
    once = "each group of near-duplicates counting once"
    if settings.rule == "sensitivity":
        return f"chosen on validation: the highest with a sensitivity of {settings.at_least:.0%} or more, {once}"
    return f"chosen on validation: the largest sensitivity + specificity (Youden), {once}"
