"""Every figure of a run on one split, with intervals, by group and by image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import Estimate, group_draws, percentile_interval
from training.evaluation.figures import (
    Flags,
    Numbers,
    auroc,
    brier,
    calibration_error,
    calibration_offset,
    once_per_group,
    reliability,
    sensitivity,
    specificity,
)
from training.settings import EvaluationSettings


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images by truth and call."""

    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Images that were given about the same probability."""

    images: int
    said: float
    happened: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a network is worth on one split at one threshold.

    ``by_group`` counts each group of near-duplicates once, ``by_image`` each image; both draw whole groups for
    their intervals.
    """

    images: int
    groups: int
    positive_groups: int
    threshold: float
    by_group: dict[str, Estimate]
    by_image: dict[str, Estimate]
    confusion: Confusion
    reliability: tuple[ReliabilityBin, ...]


def judge(
    truth: Flags,
    probability: Numbers,
    groups: NDArray[np.intp],
    threshold: float,
    settings: EvaluationSettings,
    seed: int,
) -> Judgement:
    """Judge predictions against the truth."""
    draws = group_draws(groups, truth, settings.replicates, np.random.default_rng(seed))
    each_group, each_image = once_per_group(groups), np.ones(len(truth))

    def estimates(weights: Numbers) -> dict[str, Estimate]:
        values = _regular_figures(truth, probability, threshold, weights[np.newaxis])
        replicated = _regular_figures(truth, probability, threshold, draws * weights)
        estimated = {
            name: percentile_interval(float(values[name][0]), replicated[name], settings.confidence) for name in values
        }
        # Drawn samples scatter more within the bins, so their calibration error is larger throughout: no interval.
        error = calibration_error(truth, probability, weights[np.newaxis], settings.bins)
        return estimated | {"calibration_error": Estimate(float(error[0]))}

    return Judgement(
        images=len(truth),
        groups=len(np.unique(groups)),
        positive_groups=len(np.unique(groups[truth])),
        threshold=threshold,
        by_group=estimates(each_group),
        by_image=estimates(each_image),
        confusion=confusion(truth, probability >= threshold),
        reliability=_bins(truth, probability, each_image, settings.bins),
    )


def confusion(truth: Flags, called: Flags) -> Confusion:
    """Count the four outcomes."""
    return Confusion(
        true_positive=int((truth & called).sum()),
        false_negative=int((truth & ~called).sum()),
        true_negative=int((~truth & ~called).sum()),
        false_positive=int((~truth & called).sum()),
    )


def _regular_figures(truth: Flags, probability: Numbers, threshold: float, weights: Numbers) -> dict[str, Numbers]:
    called = probability >= threshold
    return {
        "auroc": auroc(truth, probability, weights),
        "sensitivity": sensitivity(truth, called, weights),
        "specificity": specificity(truth, called, weights),
        "brier": brier(truth, probability, weights),
        "calibration_offset": calibration_offset(truth, probability, weights),
    }


def _bins(truth: Flags, probability: Numbers, weights: Numbers, bins: int) -> tuple[ReliabilityBin, ...]:
    counted, said, happened = reliability(truth, probability, weights[np.newaxis], bins)
    return tuple(
        ReliabilityBin(int(counted[0, one]), float(said[0, one]), float(happened[0, one]))
        for one in range(bins)
        if counted[0, one]
    )
