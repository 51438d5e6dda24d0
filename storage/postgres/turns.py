"""Turns: sources that send at the same time have their studies analysed in turn, however many each of them sends.

Each source counts its own waiting inference jobs up, from the front of the line on, and the smallest turn is claimed
first. A source that floods waits behind its own flood; one that sends a single study stands at the front.
"""

from sqlalchemy.orm import Session

from storage.domain.job import PRIORITY_RANK, Priority
from storage.postgres.statement import statement


def source_of(session: Session, study_id: int, revision: int) -> str:
    """Who brought the first instance of a revision, as text that was stored before; empty when there is none."""
    parameters = {"study_id": study_id, "revision": revision}
    return session.scalar(statement("source_of_revision"), parameters) or ""


def next_turn(session: Session, source: str, priority: Priority, *, shadow: bool) -> int:
    """The turn of the next inference job of this source; two transactions at once may get the same one."""
    return _turn(session, source, priority, shadow)


def front_turn(session: Session, priority: Priority, *, shadow: bool) -> int:
    """The turn of whoever is served next, 0 when nobody waits."""
    return _turn(session, None, priority, shadow)


def _turn(session: Session, source: str | None, priority: Priority, shadow: bool) -> int:
    parameters = {
        "source": source,
        "priority": str(priority),
        "priority_rank": PRIORITY_RANK[priority],
        "shadow": shadow,
    }
    return int(session.execute(statement("turn_in_line"), parameters).scalar_one())
