"""By which ways a study came, and which routes were chosen for it."""

from collections.abc import Iterable

from sqlalchemy import insert
from sqlalchemy.orm import Session

from storage.domain.route import Choice, RuleAttribute, Way
from storage.postgres.route_tables import RevisionRouteRow
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text

_OF_THE_SENDER = (RuleAttribute.CALLING_AE_TITLE, RuleAttribute.ACCOUNT)
_OF_SERIES = [attribute for attribute in RuleAttribute if attribute not in _OF_THE_SENDER]


def ways_of(session: Session, study_id: int, revision: int) -> list[Way]:
    """The ways by which the instances of a revision came, with each series once; titles are empty for the web."""
    rows = session.execute(statement("ways_of_study"), {"study_id": study_id, "revision": revision}).mappings()
    return [
        Way(
            row["called_ae_title"],
            row["calling_ae_title"],
            row["remote_address"],
            row["account"],
            {attribute: row[attribute] or "" for attribute in _OF_SERIES},
        )
        for row in rows
    ]


def store_choices(session: Session, study_id: int, revision: int, choices: Iterable[Choice]) -> None:
    """Keep why a revision goes the way it goes; nothing where there was nothing to choose."""
    rows = [
        {
            "study_id": study_id,
            "revision": revision,
            "called_ae_title": choice.called_ae_title,
            "sentence": stored_text(choice.sentence),
        }
        for choice in choices
        if choice.sentence
    ]
    if rows:
        session.execute(insert(RevisionRouteRow), rows)
