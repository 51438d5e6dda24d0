"""Figures of merit for one positive class, for many weightings of the images at once.

``weights`` has one row per weighting, so that a bootstrap costs a few matrix products. Each function gives one
number per row.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


def once_per_group(groups: NDArray[np.intp]) -> Numbers:
    """Weights under which each group counts as one image, however many copies of it there are."""
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[inverse], np.float64)


def auroc(truth: Flags, probability: Numbers, weights: Numbers) -> Numbers:
    """The chance that a positive image has a higher probability than a negative one; ties count half."""
    _, level = np.unique(probability, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[order], np.arange(level.max(initial=0) + 1))
    positive = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * ~truth)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    return np.asarray(won / (positive.sum(axis=1) * negative.sum(axis=1)), np.float64)


def sensitivity(truth: Flags, called: Flags, weights: Numbers) -> Numbers:
    """The share of positive images that are called positive."""
    return np.asarray((weights @ (truth & called)) / (weights @ truth), np.float64)


def specificity(truth: Flags, called: Flags, weights: Numbers) -> Numbers:
    """The share of negative images that are called negative."""
    return sensitivity(~truth, ~called, weights)


def brier(truth: Flags, probability: Numbers, weights: Numbers) -> Numbers:
    """The mean squared difference between probability and truth; 0.25 is a coin's."""
    return np.asarray((weights @ (probability - truth) ** 2) / weights.sum(axis=1), np.float64)


def log_loss(truth: Flags, probability: Numbers, weights: Numbers) -> Numbers:
    """The mean negative logarithm of the probability given to what was true."""
    given = np.clip(np.where(truth, probability, 1 - probability), 1e-7, 1)
    return np.asarray((weights @ -np.log(given)) / weights.sum(axis=1), np.float64)


def reliability(truth: Flags, probability: Numbers, weights: Numbers, bins: int) -> tuple[Numbers, Numbers, Numbers]:
    """Per weighting and bin of equal width: the weight in it, the mean probability, the share that was positive.

    An empty bin has weight 0 and means of NaN.
    """
    bin_of = np.minimum((probability * bins).astype(np.intp), bins - 1)
    member = (bin_of[:, np.newaxis] == np.arange(bins)).astype(np.float64)
    weight = weights @ member
    with np.errstate(invalid="ignore"):
        said = (weights * probability) @ member / weight
        happened = (weights * truth) @ member / weight
    return weight, said, happened


def calibration_offset(truth: Flags, probability: Numbers, weights: Numbers) -> Numbers:
    """How much higher the mean probability is than the share of positive images."""
    return np.asarray((weights @ (probability - truth)) / weights.sum(axis=1), np.float64)


def calibration_error(truth: Flags, probability: Numbers, weights: Numbers, bins: int) -> Numbers:
    """The expected calibration error: how far, on average, what was said lies from what happened."""
    weight, said, happened = reliability(truth, probability, weights, bins)
    return np.asarray(np.nansum(weight * np.abs(said - happened), axis=1) / weight.sum(axis=1), np.float64)
