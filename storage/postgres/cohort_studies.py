"""How far a study is that a cohort wants to have analysed."""

from dataclasses import dataclass

from sqlalchemy import func, select

from storage.postgres.engine import Database
from storage.postgres.fetch_rows import holds_context_only
from storage.postgres.tables import InstanceRow, StudyRow


@dataclass(frozen=True, slots=True)
class Standing:
    """Instances that have rows, whether some count that no revision holds, and whether all were fetched as context."""

    known: bool
    instances: int
    unsettled: bool
    context_only: bool


def standing_of(database: Database, study_instance_uid: str) -> Standing:
    """Raises DatabaseUnavailable."""
    with database.transaction() as session:
        study = session.execute(
            select(StudyRow.id, StudyRow.instance_count, StudyRow.parked_at).where(
                StudyRow.study_instance_uid == study_instance_uid
            )
        ).one_or_none()
        if study is None:
            return Standing(False, 0, False, False)
        open_ones = select(func.count(InstanceRow.id)).where(
            InstanceRow.study_id == study.id, InstanceRow.revision.is_(None), InstanceRow.excluded_rule.is_(None)
        )
        unsettled = study.parked_at is None and bool(session.scalar(open_ones))
        context_only = unsettled and holds_context_only(session, study.id, study_instance_uid)
        return Standing(True, study.instance_count, unsettled, context_only)
