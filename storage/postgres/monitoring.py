"""What is told of the work of each algorithm: how much, how fast, how it ended, and whether its input has changed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.drift_look import look
from storage.postgres.engine import Database
from storage.postgres.facts import as_facts, ask
from storage.postgres.tables import AlgorithmRow, DriftAlarmRow, DriftRow, MonitoringBaselineRow
from storage.settings import MonitoringSettings

_GROUP = ("algorithm_id", "scanner", "protocol")


class PostgresMonitoring:
    """Implements the port Monitoring; every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def overview(self, days: float, name: str | None = None, fresh: MonitoringSettings | None = None) -> Facts:
        """What every algorithm, or one, has done in the last ``days``, and the last look at its drift.

        With ``fresh`` the look is made now, as these settings say, and not kept.

        Raises:
            UnknownRecord: no algorithm has this name.
        """
        with self._database.transaction() as session:
            if name is not None:
                _of_name(session, name)
            ends = ask(session, "monitored_ends", days=days, algorithm=name)
            groups = ask(session, "monitored_groups", days=days, algorithm=name)
            stages = ask(session, "monitored_stages", days=days, algorithm=name)
            drifts = _kept(session, name) if fresh is None else _made(session, name, fresh)
            alarms = _alarms(session, name)
        return {"days": days, "algorithms": _by_algorithm(ends, groups, stages, drifts), "alarms": alarms}

    def drift(self) -> Facts:
        """The last look at each group, and the alarms that have not ended: what is watched from outside."""
        with self._database.transaction() as session:
            return {"groups": _kept(session, None), "alarms": _alarms(session, None)}

    def job(self, job_id: int) -> Facts:
        """What is kept of one job. Raises UnknownRecord."""
        with self._database.transaction() as session:
            found = ask(session, "monitored_job", job_id=job_id)
        if not found:
            raise UnknownRecord(f"No inference job {job_id} is known; `overread jobs list` shows those there are.")
        return found[0]

    def baseline(self, name: str, version: str) -> Facts | None:
        """The baseline that was set for a version; ``None``: the first results of each group. Raises UnknownRecord."""
        with self._database.transaction() as session:
            row = session.get(MonitoringBaselineRow, _known(session, name, version).id)
            if row is None:
                return None
            return as_facts({"from_at": row.from_at, "to_at": row.to_at, "set_by": row.set_by, "set_at": row.set_at})

    def set_baseline(self, name: str, version: str, span: tuple[datetime, datetime] | None, actor: str) -> None:
        """Compare later results with those stored from the first time to before the second; ``None``: the first ones.

        Raises:
            UnknownRecord: no such version, or none of its results is of that time.
        """
        with self._database.transaction() as session:
            algorithm = _known(session, name, version)
            session.execute(delete(MonitoringBaselineRow).where(MonitoringBaselineRow.algorithm_id == algorithm.id))
            details: dict[str, str | int | float | None] = {"name": name, "version": version}
            if span is not None:
                _require_results(session, algorithm, span)
                session.execute(
                    insert(MonitoringBaselineRow).values(
                        algorithm_id=algorithm.id, from_at=span[0], to_at=span[1], set_by=actor
                    )
                )
                details |= {"from": span[0].isoformat(), "to": span[1].isoformat()}
            append(session, AuditEvent(AuditAction.MONITORING_BASELINE_SET, actor, details=details))


def _of_name(session: Session, name: str) -> list[AlgorithmRow]:
    rows = list(session.scalars(select(AlgorithmRow).where(AlgorithmRow.name == name).order_by(AlgorithmRow.id.desc())))
    if not rows:
        raise UnknownRecord(f"No algorithm {name} is installed; see `overread algorithms list`.")
    return rows


def _known(session: Session, name: str, version: str) -> AlgorithmRow:
    for row in _of_name(session, name):
        if row.version == version:
            return row
    raise UnknownRecord(f"Version {version} of algorithm {name} is not installed; see `overread algorithms list`.")


def _require_results(session: Session, algorithm: AlgorithmRow, span: tuple[datetime, datetime]) -> None:
    parameters = {"algorithm_id": algorithm.id, "from_at": span[0], "to_at": span[1]}
    if not ask(session, "monitored_span", **parameters)[0]["results"]:
        raise UnknownRecord(
            f"Version {algorithm.version} of algorithm {algorithm.name} has no result of that time; choose another "
            "time, or leave the baseline as it is."
        )


def _kept(session: Session, name: str | None) -> list[Facts]:
    """The rows of the last look, with the algorithm that each is of."""
    wanted = (
        select(*DriftRow.__table__.columns, AlgorithmRow.name, AlgorithmRow.version, AlgorithmRow.stage)
        .join(AlgorithmRow, AlgorithmRow.id == DriftRow.algorithm_id)
        .order_by(AlgorithmRow.name, AlgorithmRow.id.desc(), DriftRow.scanner, DriftRow.protocol)
    )
    if name is not None:
        wanted = wanted.where(AlgorithmRow.name == name)
    return [as_facts(row._mapping) for row in session.execute(wanted)]


def _made(session: Session, name: str | None, settings: MonitoringSettings) -> list[Facts]:
    """What a look of now would keep."""
    wanted = select(AlgorithmRow) if name is None else select(AlgorithmRow).where(AlgorithmRow.name == name)
    return [
        {
            "algorithm_id": row.id,
            **{"name": row.name, "version": row.version, "stage": row.stage},
            **{"scanner": group.scanner, "protocol": group.protocol, "state": str(group.drift.state)},
            **{"baseline_results": group.baseline_results, "window_results": group.window_results},
            **{"comparisons": group.comparisons, "plots": group.plots, "since": None, "looked_at": None},
        }
        for row in session.scalars(wanted)
        for group in look(session, row.id, settings)
    ]


def _alarms(session: Session, name: str | None) -> list[Facts]:
    wanted = (
        select(
            AlgorithmRow.name,
            AlgorithmRow.version,
            AlgorithmRow.stage,
            *(column for column in DriftAlarmRow.__table__.columns if column.name != "ended_at"),
        )
        .join(AlgorithmRow, AlgorithmRow.id == DriftAlarmRow.algorithm_id)
        .where(DriftAlarmRow.ended_at.is_(None))
        .order_by(DriftAlarmRow.id)
    )
    if name is not None:
        wanted = wanted.where(AlgorithmRow.name == name)
    return [as_facts(row._mapping) for row in session.execute(wanted)]


def _by_algorithm(ends: list[Facts], groups: list[Facts], stages: list[Facts], drifts: list[Facts]) -> list[Facts]:
    """One entry for each version that has done something or is looked at, newest version first within a name."""
    algorithms: dict[int, Facts] = {}
    for row in (*ends, *groups, *drifts):
        algorithms.setdefault(
            row["algorithm_id"],
            {
                "name": row["name"],
                "version": row["version"],
                "stage": row["stage"],
                "jobs": 0,
                "ends": [],
                "groups": [],
            },
        )
    for row in ends:
        algorithms[row["algorithm_id"]]["jobs"] += row["jobs"]
        algorithms[row["algorithm_id"]]["ends"].append(
            {key: row[key] for key in ("state", "outcome", "code", "jobs", "last_seen_at")}
        )
    timed = _keyed(stages, lambda row: {row["stage"]: {"p50": row["p50"], "p95": row["p95"]}})
    told = _keyed(groups, lambda row: {key: row[key] for key in ("results", "last_seen_at", "execution_providers")})
    looked = _keyed(drifts, lambda row: {key: row[key] for key in _OF_LOOK})
    for key in sorted({*told, *looked}):
        algorithm_id, scanner, protocol = key
        nothing: Facts = {"results": 0, "last_seen_at": None, "execution_providers": []}
        algorithms[algorithm_id]["groups"].append(
            {
                **{"scanner": scanner, "protocol": protocol},
                **told.get(key, nothing),
                **{"stages": timed.get(key, {}), "drift": looked.get(key)},
            }
        )
    order = sorted(algorithms, key=lambda algorithm_id: (algorithms[algorithm_id]["name"], -algorithm_id))
    return [algorithms[algorithm_id] for algorithm_id in order]


_OF_LOOK = ("state", "baseline_results", "window_results", "comparisons", "plots", "since", "looked_at")


def _keyed(rows: list[Facts], told: Callable[[Facts], Facts]) -> dict[tuple[Any, ...], Facts]:
    """By group; of several rows of one group the facts are put together."""
    keyed: dict[tuple[Any, ...], Facts] = {}
    for row in rows:
        keyed.setdefault(tuple(row[part] for part in _GROUP), {}).update(told(row))
    return keyed
