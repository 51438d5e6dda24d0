"""Making a quiet study stable: a revision that holds exactly its instances, and one job per active algorithm."""

from dataclasses import dataclass

from sqlalchemy import exists, insert, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.job import Reason
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.inference_schedule import schedule_inference
from storage.postgres.statement import statement
from storage.postgres.tables import InstanceRow, StudyRevisionRow, StudyRow

_ACTOR = "housekeeper"

NO_ALGORITHM = Reason(
    "no-algorithm",
    "No algorithm was active when the study became complete; install one with `overread algorithms add FOLDER`, "
    "then have this study analysed with `overread jobs submit` and its Study Instance UID.",
)


@dataclass(frozen=True, slots=True)
class SettledStudy:
    """A study that has just become stable, and how many jobs that made."""

    study_instance_uid: str
    revision: int
    jobs: int


def settle_next_study(database: Database, quiet_seconds: float) -> SettledStudy | None:
    """Make one study stable that has been quiet this long by the database's clock; ``None`` when there is none.

    Raises:
        DatabaseUnavailable: nothing was changed.
    """
    with database.transaction() as session:
        study = session.execute(statement("settle_studies"), {"quiet_seconds": quiet_seconds}).one_or_none()
        while study is not None and not _has_unsettled_instances(session, study.study_id):
            # Another housekeeper settled it between our look and our lock; the look saw the rows of before.
            study = session.execute(statement("settle_studies"), {"quiet_seconds": quiet_seconds}).one_or_none()
        if study is None:
            return None
        revision = study.revision + 1
        count = _open_revision(session, study.study_id, revision)
        append(
            session,
            AuditEvent(
                AuditAction.STUDY_STABLE,
                _ACTOR,
                study_instance_uid=study.study_instance_uid,
                details={"revision": revision, "instances": count},
            ),
        )
        jobs = schedule_inference(session, study.study_id, study.study_instance_uid, revision, _ACTOR)
        if not jobs:
            _say_why_not(session, study.study_id, revision)
        return SettledStudy(study.study_instance_uid, revision, len(jobs))


def _has_unsettled_instances(session: Session, study_id: int) -> bool:
    return bool(
        session.scalar(
            select(
                exists().where(
                    InstanceRow.study_id == study_id,
                    InstanceRow.revision.is_(None),
                    InstanceRow.excluded_rule.is_(None),
                )
            )
        )
    )


def _open_revision(session: Session, study_id: int, revision: int) -> int:
    session.execute(insert(StudyRevisionRow).values(study_id=study_id, revision=revision))
    session.execute(update(StudyRow).where(StudyRow.id == study_id).values(revision=revision))
    taken = session.execute(
        update(InstanceRow)
        .where(
            InstanceRow.study_id == study_id,
            InstanceRow.revision.is_(None),
            InstanceRow.excluded_rule.is_(None),
        )
        .values(revision=revision)
        .returning(InstanceRow.id)
    )
    return len(taken.all())


def _say_why_not(session: Session, study_id: int, revision: int) -> None:
    session.execute(
        update(StudyRevisionRow)
        .where(StudyRevisionRow.study_id == study_id, StudyRevisionRow.revision == revision)
        .values(reason_code=NO_ALGORITHM.code, reason_sentence=NO_ALGORITHM.sentence)
    )
