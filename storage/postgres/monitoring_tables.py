"""The tables of monitoring beside `result_statistics`: what is compared with what, and what came of it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.domain.drift import DriftState
from storage.postgres.table_base import Base, Big, DatabaseTime, Json, RowId, one_of


class MonitoringBaselineRow(Base):
    """Which results of an algorithm its later ones are compared with; without a row, the first ones of each group."""

    __tablename__ = "monitoring_baseline"
    __table_args__ = (CheckConstraint("from_at < to_at", name="has_a_duration"),)

    algorithm_id: Mapped[Big] = mapped_column(ForeignKey("algorithm.id"), primary_key=True, autoincrement=False)
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]  # not included
    set_by: Mapped[str]
    set_at: Mapped[DatabaseTime]


class DriftRow(Base):
    """The last look at one group of results. `comparisons` begin with the one that decides; `plots` are counts."""

    __tablename__ = "drift"
    __table_args__ = (one_of("state", DriftState),)

    algorithm_id: Mapped[Big] = mapped_column(ForeignKey("algorithm.id"), primary_key=True, autoincrement=False)
    scanner: Mapped[str] = mapped_column(primary_key=True)
    protocol: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    baseline_results: Mapped[int]
    window_results: Mapped[int]
    comparisons: Mapped[Json]
    plots: Mapped[Json]
    since: Mapped[DatabaseTime]  # when this state began
    looked_at: Mapped[DatabaseTime]


class DriftAlarmRow(Base):
    """A drift from when it was found to when it had gone; a group has at most one that has not ended."""

    __tablename__ = "drift_alarm"
    __table_args__ = (
        Index(
            "drift_alarm_one_open",
            "algorithm_id",
            "scanner",
            "protocol",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: Mapped[RowId]
    algorithm_id: Mapped[Big] = mapped_column(ForeignKey("algorithm.id"))
    scanner: Mapped[str]
    protocol: Mapped[str]
    number: Mapped[str]  # the name of what has drifted most
    stability_index: Mapped[float] = mapped_column(Float)
    distance: Mapped[float] = mapped_column(Float)
    chance: Mapped[float] = mapped_column(Float)  # adjusted
    began_at: Mapped[DatabaseTime]
    ended_at: Mapped[datetime | None]
