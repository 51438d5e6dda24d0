"""Trouble since the installation, counted from the audit trail: numbers that only grow, whatever is done about it."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import func, select

from storage.domain.audit_event import AuditAction
from storage.domain.study import ExclusionRule
from storage.ports.facts import Facts
from storage.postgres.engine import Database
from storage.postgres.facts import ask
from storage.postgres.tables import AuditEventRow

_AT_ONCE = 200_000  # rows of the trail, so that no statement takes long and what was counted is kept


@dataclass(slots=True)
class _Counts:
    newest: int = 0  # row of the trail that was counted
    silences: int = 0
    parked: int = 0
    lost: int = 0
    given_up: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)

    def add(self, row: Facts) -> None:
        action, events = row["action"], row["events"]
        if action == AuditAction.STUDY_PARKED:
            self.parked += events
        elif action == AuditAction.DELIVERY_LOST:
            self.lost += events
        elif action == AuditAction.INSTANCE_QUARANTINED:
            self.set_aside[row["reason"]] += events
        elif row["of_silence"]:
            self.silences += events
        if action == AuditAction.JOB_FAILED and not row["shadow"]:
            self.given_up[row["kind"]] += events


class CountedEvents:
    """Reads the whole trail once, and from then on what was added; threads may share it.

    Rows of the trail are committed in the order of their numbers, so none appears behind one that was counted.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting = threading.Lock()
        self._counts = _Counts()

    def ever(self) -> Facts:
        """``silences`` of workers, ``given_up`` jobs by kind, ``parked`` studies, ``set_aside`` objects by reason.

        ``excluded`` are instances that count for no analysis, by rule, of those recorded since a release counts them.
        ``lost`` are acknowledged objects that a destination had no more. A shadow that was given up does not count.

        Raises:
            DatabaseUnavailable: what was counted so far is kept.
        """
        with self._counting:
            while not self._counted_to_the_end():
                pass
            return {
                "silences": self._counts.silences,
                "given_up": dict(self._counts.given_up),
                "parked": self._counts.parked,
                "lost": self._counts.lost,
                "set_aside": dict(self._counts.set_aside),
                "excluded": dict(self._counts.excluded),
            }

    def _counted_to_the_end(self) -> bool:
        with self._database.transaction() as session:
            end = session.scalar(select(func.max(AuditEventRow.id))) or 0
            if end < self._counts.newest:  # another database, such as a restored one, stands there now
                self._counts = _Counts()
            newest = min(end, self._counts.newest + _AT_ONCE)
            rows = {"after": self._counts.newest, "newest": newest}
            found = ask(session, "counted_events", **rows)
            excluded = ask(session, "counted_exclusions", **rows, rules=list(ExclusionRule))
        for row in found:
            self._counts.add(row)
        for row in excluded:
            self._counts.excluded[row["rule"]] += row["instances"]
        self._counts.newest = newest
        return newest == end
