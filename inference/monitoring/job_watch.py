"""Looks on while one job is analysed: how long each stage takes, and how the values are spread."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from inference.monitoring.value_tally import ValueTally
from inference.stages import enter, working_time
from storage.domain.job_statistics import Seen, Stage, ValueStatistics

_BESIDE = ThreadPoolExecutor(1, "statistics")  # of all jobs of the process


class JobWatch:
    """The notes of one job; it is used by one thread at a time and changes nothing of what it sees."""

    def __init__(self) -> None:
        self._tallies: dict[Seen, ValueTally] = {}
        self._summed_up: dict[Seen, Future[ValueStatistics]] = {}
        self._seconds: dict[Stage, float] = {}
        self._running: list[Stage] = []
        self._since = 0.0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count the time of the block for this stage; the time of a stage inside it counts for that one only.

        The time in which the job waits for another one counts for none.
        """
        self._change()
        self._running.append(stage)
        enter(stage)
        try:
            yield
        finally:
            self._change()
            self._running.pop()
            if self._running:
                enter(self._running[-1])

    def _change(self) -> None:
        now = working_time()
        if self._running:
            inner = self._running[-1]
            self._seconds[inner] = self._seconds.get(inner, 0.0) + now - self._since
        self._since = now

    def saw(self, place: Seen, values: NDArray[np.float32], parts: int = 1) -> None:
        """Note values, or one of ``parts`` arrays of them; an array without a value is nothing.

        What is seen whole is summed up beside, while the network has the job.
        """
        if values.size:
            if place not in self._tallies:
                self._tallies[place] = ValueTally(place, parts)
            self._tallies[place].add(values)
            if parts == 1:
                self._summed_up[place] = _BESIDE.submit(self._tallies[place].statistics)

    def spreads(self) -> dict[Seen, ValueStatistics]:
        """How the values that were seen are spread, by place."""
        return {
            place: self._summed_up[place].result() if place in self._summed_up else tally.statistics()
            for place, tally in self._tallies.items()
        }

    @property
    def seconds(self) -> dict[Stage, float]:
        """How long each stage took, in the order in which they ended first."""
        return dict(self._seconds)
