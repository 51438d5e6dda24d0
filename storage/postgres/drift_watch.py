"""The last look at each algorithm, kept as rows, and the alarms that begin and end with it; each is an audit row."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.drift import DriftState
from storage.postgres.audit_trail import append
from storage.postgres.drift_look import GroupLook, look
from storage.postgres.engine import Database
from storage.postgres.tables import AlgorithmRow, DriftAlarmRow, DriftRow
from storage.settings import MonitoringSettings

_WATCHED = ("active", "shadow")  # a version that is given no work has no results of today


@dataclass(frozen=True, slots=True)
class WatchedAlgorithm:
    """A version that is looked at; ``alarmed_since_active`` says whether an alarm began after it was last activated."""

    name: str
    version: str
    stage: str
    alarms_began: int
    alarms_ended: int
    alarmed_since_active: bool


def watch_algorithms(database: Database, settings: MonitoringSettings, actor: str) -> list[WatchedAlgorithm]:
    """Look at every algorithm that is given work, each in a transaction of its own.

    Raises:
        DatabaseUnavailable: those looked at before stay looked at.
    """
    with database.transaction() as session:
        ids = list(session.scalars(select(AlgorithmRow.id).order_by(AlgorithmRow.id)))
    watched = []
    for algorithm_id in ids:
        with database.transaction() as session:
            algorithm = session.get_one(AlgorithmRow, algorithm_id)
            groups = look(session, algorithm_id, settings) if algorithm.stage in _WATCHED else []
            _keep(session, algorithm_id, groups)
            began, ended = _alarm(session, algorithm, groups, actor)
            if algorithm.stage in _WATCHED:
                alarmed = _alarmed_since_active(session, algorithm)
                watched.append(
                    WatchedAlgorithm(algorithm.name, algorithm.version, algorithm.stage, began, ended, alarmed)
                )
    return watched


def _keep(session: Session, algorithm_id: int, groups: Sequence[GroupLook]) -> None:
    """The rows of this look in place of those of the last one; `since` stays where the state does."""
    for group in groups:
        facts = {
            "state": str(group.drift.state),
            "baseline_results": group.baseline_results,
            "window_results": group.window_results,
            "comparisons": group.comparisons,
            "plots": group.plots,
            "looked_at": func.now(),
        }
        key = {"algorithm_id": algorithm_id, "scanner": group.scanner, "protocol": group.protocol}
        row = insert(DriftRow).values(**key, **facts)
        since = func.coalesce(
            select(DriftRow.since)
            .where(
                DriftRow.algorithm_id == algorithm_id,
                DriftRow.scanner == group.scanner,
                DriftRow.protocol == group.protocol,
                DriftRow.state == str(group.drift.state),
            )
            .scalar_subquery(),
            func.now(),
        )
        session.execute(row.on_conflict_do_update(constraint="drift_pkey", set_={**facts, "since": since}))
    seen = [(group.scanner, group.protocol) for group in groups]
    gone = delete(DriftRow).where(DriftRow.algorithm_id == algorithm_id)
    session.execute(gone.where(tuple_(DriftRow.scanner, DriftRow.protocol).not_in(seen)) if seen else gone)


def _alarm(session: Session, algorithm: AlgorithmRow, groups: Sequence[GroupLook], actor: str) -> tuple[int, int]:
    """Begin and end alarms; how many. One lasts until its group is stable, or is not looked at any more."""
    open_alarms = {
        (alarm.scanner, alarm.protocol): alarm
        for alarm in session.scalars(
            select(DriftAlarmRow).where(DriftAlarmRow.algorithm_id == algorithm.id, DriftAlarmRow.ended_at.is_(None))
        )
    }
    began = ended = 0
    for group in groups:
        alarm = open_alarms.pop((group.scanner, group.protocol), None)
        if alarm is None and group.drift.state is DriftState.DRIFTED:
            _begin(session, algorithm, group, actor)
            began += 1
        elif alarm is not None and group.drift.state is DriftState.STABLE:
            _end(session, algorithm, alarm, actor)
            ended += 1
    for alarm in open_alarms.values():
        _end(session, algorithm, alarm, actor)
        ended += 1
    return began, ended


def _begin(session: Session, algorithm: AlgorithmRow, group: GroupLook, actor: str) -> None:
    worst = group.drift.comparisons[0]
    session.add(
        DriftAlarmRow(
            algorithm_id=algorithm.id,
            scanner=group.scanner,
            protocol=group.protocol,
            number=worst.name,
            stability_index=worst.index,
            distance=worst.distance,
            chance=worst.adjusted,
        )
    )
    details: dict[str, str | int | float | None] = {
        "number": worst.name,
        "stability_index": round(worst.index, 4),
        "ks_distance": round(worst.distance, 4),
        "adjusted_p": float(f"{worst.adjusted:.3g}"),
        "baseline_results": group.baseline_results,
        "window_results": group.window_results,
    }
    append(session, _event(AuditAction.DRIFT_ALARM_BEGAN, algorithm, group.scanner, group.protocol, actor, details))


def _end(session: Session, algorithm: AlgorithmRow, alarm: DriftAlarmRow, actor: str) -> None:
    alarm.ended_at = session.scalar(select(func.now()))
    append(session, _event(AuditAction.DRIFT_ALARM_ENDED, algorithm, alarm.scanner, alarm.protocol, actor, {}))


def _event(
    action: AuditAction,
    algorithm: AlgorithmRow,
    scanner: str,
    protocol: str,
    actor: str,
    details: dict[str, str | int | float | None],
) -> AuditEvent:
    group = {"name": algorithm.name, "version": algorithm.version, "scanner": scanner, "protocol": protocol}
    began = action is AuditAction.DRIFT_ALARM_BEGAN
    outcome = AuditOutcome.MINOR_FAILURE if began else AuditOutcome.SUCCESS
    return AuditEvent(action, actor, outcome, details={**group, **details})


def _alarmed_since_active(session: Session, algorithm: AlgorithmRow) -> bool:
    """Whether an alarm is open that began after the version was last activated; whoever does that knows of others."""
    alarms = select(DriftAlarmRow.id).where(
        DriftAlarmRow.algorithm_id == algorithm.id, DriftAlarmRow.ended_at.is_(None)
    )
    if algorithm.activated_at is not None:
        alarms = alarms.where(DriftAlarmRow.began_at > algorithm.activated_at)
    return session.scalar(alarms.limit(1)) is not None
