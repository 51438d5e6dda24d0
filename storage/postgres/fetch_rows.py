"""Fetches from archives in rows, and what they mean for the studies that came by them."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.fetch import FetchEnd, FetchOutcome
from storage.ports.fetches import NewFetch
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import StudyFetchRow, StudyRow

_OUTCOMES = {
    FetchOutcome.COMPLETE: AuditOutcome.SUCCESS,
    FetchOutcome.INCOMPLETE: AuditOutcome.MINOR_FAILURE,
    FetchOutcome.FAILED: AuditOutcome.SERIOUS_FAILURE,
}


class PostgresFetches:
    """Implements the port Fetches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_query(self, archive: str, actor: str, matches: int, study_instance_uid: str = "") -> None:
        """An archive was asked what it has; so many studies matched."""
        with self._database.transaction() as session:
            append(
                session,
                AuditEvent(
                    AuditAction.ARCHIVE_QUERIED,
                    actor,
                    study_instance_uid=study_instance_uid,
                    details={"archive": archive, "matches": matches},
                ),
            )

    def begin(self, fetch: NewFetch) -> int:
        """Write a fetch down before anything comes, and return its identifier."""
        with self._database.transaction() as session:
            fetch_id = session.execute(
                insert(StudyFetchRow)
                .values(
                    study_instance_uid=fetch.study_instance_uid,
                    archive=fetch.archive,
                    retrieve=fetch.retrieve,
                    purpose=str(fetch.purpose),
                    asked_by=stored_text(fetch.actor),
                    sop_instance_uids=sorted(stored_text(uid) for uid in fetch.sop_instance_uids),
                )
                .returning(StudyFetchRow.id)
            ).scalar_one()
            details: dict[str, str | int | float | None] = {
                "archive": fetch.archive,
                "retrieve": fetch.retrieve,
                "purpose": str(fetch.purpose),
                "instances": len(fetch.sop_instance_uids),
            }
            append(
                session,
                AuditEvent(
                    AuditAction.STUDY_FETCH_BEGAN,
                    fetch.actor,
                    study_instance_uid=fetch.study_instance_uid,
                    details=details,
                ),
            )
            return fetch_id

    def widen(self, fetch_id: int, sop_instance_uid: str) -> None:
        """An instance that was not listed is about to be kept: it came by this fetch like the others."""
        uids = StudyFetchRow.sop_instance_uids
        more = func.array_append(uids, stored_text(sop_instance_uid))
        with self._database.transaction() as session:
            session.execute(update(StudyFetchRow).where(StudyFetchRow.id == fetch_id).values(sop_instance_uids=more))

    def end(self, fetch_id: int, end: FetchEnd) -> None:
        """Write down what came of it."""
        reason = end.reason
        with self._database.transaction() as session:
            row = session.execute(
                update(StudyFetchRow)
                .where(StudyFetchRow.id == fetch_id)
                .values(
                    ended_at=func.now(),
                    outcome=str(end.outcome),
                    listed=end.listed,
                    held=end.held,
                    new=end.new,
                    reason_code=reason.code if reason else None,
                    reason_sentence=stored_text(reason.sentence) if reason else None,
                )
                .returning(StudyFetchRow.study_instance_uid, StudyFetchRow.archive, StudyFetchRow.asked_by)
            ).one()
            details: dict[str, str | int | float | None] = {
                "archive": row.archive,
                "outcome": str(end.outcome),
                "listed": end.listed,
                "held": end.held,
                "new": end.new,
                "code": reason.code if reason else None,
            }
            append(
                session,
                AuditEvent(
                    AuditAction.STUDY_FETCHED,
                    row.asked_by,
                    _OUTCOMES[end.outcome],
                    row.study_instance_uid,
                    None,
                    details,
                ),
            )


@dataclass(frozen=True, slots=True)
class KnownPatient:
    """Whose study it is, and of what day, as its first instance says."""

    patient_id: str
    issuer_of_patient_id: str
    study_date: date | None


def patient_of(database: Database, study_instance_uid: str) -> KnownPatient | None:
    """The patient of a study that is here. Raises DatabaseUnavailable."""
    wanted = select(StudyRow.patient_id, StudyRow.issuer_of_patient_id, StudyRow.study_date)
    with database.transaction() as session:
        row = session.execute(wanted.where(StudyRow.study_instance_uid == study_instance_uid)).one_or_none()
        return None if row is None else KnownPatient(row[0], row[1], row[2])


def holds_context_only(session: Session, study_id: int, study_instance_uid: str) -> bool:
    """Whether every instance that counts was fetched as context, and the study never for analysis."""
    bounds = {"study_id": study_id, "study_instance_uid": study_instance_uid}
    return bool(session.execute(statement("holds_context_only"), bounds).scalar())
