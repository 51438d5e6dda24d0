"""Intervals that know which images are copies of each other: whole groups are drawn, never single images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.figures import Numbers


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, or without one where the bootstrap gives no honest one."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def group_draws(
    groups: NDArray[np.intp], truth: NDArray[np.bool_], replicates: int, random: np.random.Generator
) -> Numbers:
    """How often each image counts in each replicate: its group's number of draws, (replicate, image).

    Groups are drawn with replacement, as many as there are, among those with as many positive images or none, so
    that no replicate lacks a class.
    """
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    positive = np.bincount(group, truth, minlength=count) > 0
    drawn = np.zeros((replicates, count))
    for stratum in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        if len(stratum):
            chance = np.full(len(stratum), 1 / len(stratum))
            drawn[:, stratum] = random.multinomial(len(stratum), chance, size=replicates)
    return drawn[:, group]


def percentile_interval(value: float, replicated: Numbers, confidence: float) -> Estimate:
    """The figure with the middle ``confidence`` of its replicates."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(replicated, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))
