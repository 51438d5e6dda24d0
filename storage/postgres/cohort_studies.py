"""How far a study is that a cohort wants to have analysed."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from storage.postgres.engine import Database
from storage.postgres.fetch_rows import holds_context_only
from storage.postgres.tables import InstanceRow, StudyRow


@dataclass(frozen=True, slots=True)
class Standing:
    """How many instances of those asked for have no row in the study, whether some count that no revision holds, and
    whether all were fetched as context.
    """

    known: bool
    lacking: int
    unsettled: bool
    context_only: bool


def standing_of(database: Database, study_instance_uid: str, sop_instance_uids: Collection[str] = ()) -> Standing:
    """Where a study stands that should have these instances. Raises DatabaseUnavailable."""
    wanted = set(sop_instance_uids)
    with database.transaction() as session:
        study = session.execute(
            select(StudyRow.id, StudyRow.parked_at).where(StudyRow.study_instance_uid == study_instance_uid)
        ).one_or_none()
        if study is None:
            return Standing(False, len(wanted), False, False)
        there = select(func.count(InstanceRow.id)).where(
            InstanceRow.study_id == study.id, InstanceRow.sop_instance_uid.in_(wanted)
        )
        lacking = len(wanted) - (session.scalar(there) or 0) if wanted else 0
        open_ones = select(func.count(InstanceRow.id)).where(
            InstanceRow.study_id == study.id, InstanceRow.revision.is_(None), InstanceRow.excluded_rule.is_(None)
        )
        unsettled = study.parked_at is None and bool(session.scalar(open_ones))
        context_only = unsettled and holds_context_only(session, study.id, study_instance_uid)
        return Standing(True, lacking, unsettled, context_only)
