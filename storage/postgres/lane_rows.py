"""The lanes of delivery in rows, so that every process that serves one, and whoever looks, sees the same."""

import random
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.lane import LaneStanding, LaneState, PausePolicy, pause_seconds
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.facts import as_facts
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import DeliveryLaneRow

_ACTOR = "delivery"


class PostgresLanes:
    """Implements the port Lanes; times are the database's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_paused(self, destination: str) -> bool:
        """Whether what is owed to it waits."""
        wanted = select(DeliveryLaneRow.state).where(DeliveryLaneRow.destination == destination)
        with self._database.transaction() as session:
            return session.scalar(wanted) == LaneState.PAUSED

    def take_probe(self, destination: str, patience_seconds: float) -> bool:
        """Whether a paused one is to be tried now, by the caller alone; another may after ``patience_seconds``."""
        due = (
            update(DeliveryLaneRow)
            .where(_is(destination, LaneState.PAUSED), DeliveryLaneRow.probe_at <= func.now())
            .values(probe_at=_in(patience_seconds))
            .returning(DeliveryLaneRow.destination)
        )
        with self._database.transaction() as session:
            return session.execute(due).first() is not None

    def note_failure(self, destination: str, policy: PausePolicy, note: str) -> LaneStanding:
        """Count one delivery without any answer; the lane may pause by it.

        One that began before a pause and fails within it makes the pause no longer.
        """
        with self._database.transaction() as session:
            lane = _locked(session, destination)
            lane.failures += 1
            lane.note = stored_text(note)
            pauses = lane.state == LaneState.FLOWING and 0 < policy.failures <= lane.failures
            if pauses:
                _pause(lane, policy)
                lane.state = LaneState.PAUSED
                lane.paused_at = func.now()
                append(session, _paused(lane))
            session.flush()
            session.refresh(lane)
            return LaneStanding(
                destination, LaneState(lane.state), lane.failures, lane.paused_at, lane.probe_at, lane.note, pauses
            )

    def note_silence(self, destination: str, policy: PausePolicy, note: str) -> None:
        """A paused one did not answer when it was tried: the next pause is longer."""
        with self._database.transaction() as session:
            lane = _locked(session, destination)
            if lane.state == LaneState.PAUSED:
                lane.note = stored_text(note)
                lane.silences += 1
                _pause(lane, policy)

    def resume(self, destination: str) -> bool:
        """A paused one answered when it was tried: deliveries flow. ``False`` if they did already.

        The next pause is as long as if this one had gone on, until a delivery is answered. If it did not answer at
        once, it was away, and what waits for it has its whole time again.
        """
        with self._database.transaction() as session:
            return _flow(session, destination, failures=0)

    def note_answer(self, destination: str) -> None:
        """A delivery was answered: no failure counts any more."""
        failed = (DeliveryLaneRow.failures > 0) | (DeliveryLaneRow.pauses > 0)
        which = (DeliveryLaneRow.destination == destination) & failed
        with self._database.transaction() as session:
            if session.execute(select(DeliveryLaneRow.state).where(which)).first() is not None:
                _flow(session, destination)
                session.execute(update(DeliveryLaneRow).where(which).values(failures=0, pauses=0, note=""))

    def start(self, known: Sequence[str]) -> None:
        """Whoever starts anew may have mended something: what is paused is tried at once.

        What waits has its whole time again, since nobody may have tried to deliver it for days. Of a destination that
        is not ``known``, nobody is to look for the end of a pause.
        """
        paused = DeliveryLaneRow.state == LaneState.PAUSED
        with self._database.transaction() as session:
            session.execute(delete(DeliveryLaneRow).where(DeliveryLaneRow.destination.not_in(known)))
            session.execute(update(DeliveryLaneRow).where(paused).values(probe_at=func.now()))
            for destination in known:
                back = insert(DeliveryLaneRow).values(destination=destination, back_at=func.now())
                session.execute(
                    back.on_conflict_do_update(
                        index_elements=[DeliveryLaneRow.destination], set_={"back_at": func.now()}
                    )
                )


def paused_lanes(session: Session) -> list[Facts]:
    """Every destination whose deliveries are paused: since when, until when and why."""
    columns = (DeliveryLaneRow.destination, DeliveryLaneRow.paused_at, DeliveryLaneRow.probe_at, DeliveryLaneRow.note)
    wanted = select(*columns).where(DeliveryLaneRow.state == LaneState.PAUSED).order_by(DeliveryLaneRow.destination)
    return [as_facts(row._mapping) for row in session.execute(wanted)]


def _locked(session: Session, destination: str) -> DeliveryLaneRow:
    session.execute(insert(DeliveryLaneRow).values(destination=destination).on_conflict_do_nothing())
    return session.execute(
        select(DeliveryLaneRow).where(DeliveryLaneRow.destination == destination).with_for_update()
    ).scalar_one()


def _pause(lane: Any, policy: PausePolicy) -> None:  # noqa: ANN401 - a column takes an expression
    jitter = random.random()  # noqa: S311 - spreads load, guards nothing
    lane.probe_at = _in(pause_seconds(lane.pauses, policy, jitter))
    lane.pauses += 1


def _paused(lane: DeliveryLaneRow) -> AuditEvent:
    return AuditEvent(
        AuditAction.DELIVERIES_PAUSED,
        _ACTOR,
        AuditOutcome.MINOR_FAILURE,
        details={"destination": lane.destination, "failures": lane.failures, "reason": lane.note},
    )


def _flow(session: Session, destination: str, **values: Any) -> bool:  # noqa: ANN401 - columns
    back_at = case((DeliveryLaneRow.silences > 0, func.now()), else_=DeliveryLaneRow.back_at)
    flowing = {"state": LaneState.FLOWING, "paused_at": None, "probe_at": None, "silences": 0, "back_at": back_at}
    changed = update(DeliveryLaneRow).where(_is(destination, LaneState.PAUSED)).values(**flowing | values)
    if session.execute(changed.returning(DeliveryLaneRow.destination)).first() is None:
        return False
    append(session, AuditEvent(AuditAction.DELIVERIES_RESUMED, _ACTOR, details={"destination": destination}))
    return True


def _in(seconds: float) -> Any:  # noqa: ANN401 - an expression
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _is(destination: str, state: LaneState) -> Any:  # noqa: ANN401 - a condition
    return (DeliveryLaneRow.destination == destination) & (DeliveryLaneRow.state == state)
