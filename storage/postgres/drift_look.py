"""One look at the results of an algorithm: those of today beside those of its baseline, by scanner and protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from storage.domain.drift import Drift, compare, numbers_of, samples
from storage.ports.facts import Facts
from storage.postgres.statement import statement
from storage.postgres.tables import MonitoringBaselineRow
from storage.settings import MonitoringSettings

_MOST_BASELINE = 2000  # of a baseline set by dates, the newest of each group


@dataclass(frozen=True, slots=True)
class GroupLook:
    """What is said of the results of one scanner and protocol; ``plots`` are shares of values by place and bin."""

    scanner: str
    protocol: str
    baseline_results: int
    window_results: int
    drift: Drift
    plots: Facts

    @property
    def comparisons(self) -> list[Facts]:
        """The comparisons, the one that decides first."""
        return [asdict(one) | {"state": str(one.state)} for one in self.drift.comparisons]


def look(session: Session, algorithm_id: int, settings: MonitoringSettings) -> list[GroupLook]:
    """Compare every group of results of an algorithm; nothing is written."""
    chosen = session.get(MonitoringBaselineRow, algorithm_id)
    rows = session.execute(
        statement("monitored_results"),
        {
            "algorithm_id": algorithm_id,
            "from_at": chosen.from_at if chosen else None,
            "to_at": chosen.to_at if chosen else None,
            "baseline_results": settings.baseline_results,
            "most_baseline": _MOST_BASELINE,
            "window_results": settings.window_results,
            "window_days": settings.window_days,
        },
    ).all()
    groups = [(key, list(of)) for key, of in groupby(rows, key=lambda row: (row.scanner, row.protocol))]
    parted = [_parted(of) for _, of in groups]
    drifts = compare([(_samples(base), _samples(now)) for base, now in parted], settings.minimum_results)
    return [
        GroupLook(scanner, protocol, len(base), len(now), drift, _plots(base, now))
        for ((scanner, protocol), _), (base, now), drift in zip(groups, parted, drifts, strict=True)
    ]


def _parted(rows: Sequence[Row[Any]]) -> tuple[list[Row[Any]], list[Row[Any]]]:
    return [row for row in rows if row.in_baseline], [row for row in rows if not row.in_baseline]


def _samples(rows: Sequence[Row[Any]]) -> Mapping[str, Sequence[float]]:
    return samples(numbers_of(row.acquisition, row.values, row.scores) for row in rows)


def _plots(baseline: Sequence[Row[Any]], window: Sequence[Row[Any]]) -> Facts:
    """How values are spread over the bins, each result counting alike; a place that one side lacks is left out."""
    places = {place for row in baseline for place in row.values} & {place for row in window for place in row.values}
    return {
        place: {"baseline": _mean_shares(baseline, place), "window": _mean_shares(window, place)}
        for place in sorted(places)
    }


def _mean_shares(rows: Sequence[Row[Any]], place: str) -> list[float]:
    histograms = [row.values[place]["histogram"] for row in rows if place in row.values]
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in histograms]
    return [round(sum(column) / len(shares), 5) for column in zip(*shares, strict=True)]
