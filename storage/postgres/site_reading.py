"""What the pages and the metrics tell of the whole site; nothing here changes any row."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction
from storage.domain.job import JobKind, JobState
from storage.domain.study import QUARANTINE_SENTENCES, QuarantineReason, StudyState
from storage.errors import UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.counted_events import CountedEvents
from storage.postgres.engine import Database
from storage.postgres.facts import as_facts, ask
from storage.postgres.lane_rows import paused_lanes
from storage.postgres.statement import statement
from storage.postgres.tables import AlgorithmRow, AuditEventRow, QuarantinedObjectRow, StudyRow

_TROUBLE_SHOWN = 20
_SUMMARY_SECONDS = 5.0  # ages grow, and days pass, without any change
# Who looks at a page does not change what it shows; every other change has its audit row in its own transaction.
_LOOKS = frozenset(
    {
        AuditAction.STUDY_VIEWED,
        AuditAction.STUDIES_QUERIED,
        AuditAction.INSTANCES_RETRIEVED,
        AuditAction.AUDIT_READ,
        AuditAction.AUDIT_EXPORTED,
    }
)


class PostgresSiteReading:
    """Implements the port SiteReading; every method may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._summing = threading.Lock()
        self._summed: tuple[tuple[int, int], float, Facts] | None = None
        self._events = CountedEvents(database)

    def studies(
        self,
        *,
        state: StudyState | None,
        days: int | None,
        before: tuple[datetime, str] | None,
        rows: int,
        accession_number: str | None = None,
    ) -> list[Facts]:
        """Studies, newest first, received in the last ``days`` and before the last one of the previous page."""
        time, uid = before or (None, None)
        with self._database.transaction() as session:
            return ask(
                session,
                "study_page",
                state=state,
                days=days,
                before_time=time,
                before_uid=uid,
                accession_number=accession_number,
                rows=rows,
            )

    def study_of(self, uid: str) -> str:
        """The Study Instance UID that a Study, Series or SOP Instance UID belongs to. Raises UnknownRecord."""
        with self._database.transaction() as session:
            found = session.execute(statement("studies_of_uid"), {"uid": uid}).first()
        if found is None:
            raise UnknownRecord("No study, series or instance with this UID is known here.")
        return str(found.study_instance_uid)

    def identity(self, study_instance_uid: str) -> Facts:
        """Whose study it is, which only those may be shown who may view studies. Raises UnknownRecord."""
        with self._database.transaction() as session:
            row = session.execute(
                select(
                    StudyRow.patient_id, StudyRow.issuer_of_patient_id, StudyRow.accession_number, StudyRow.study_date
                ).where(StudyRow.study_instance_uid == study_instance_uid)
            ).one_or_none()
        if row is None:
            raise UnknownRecord("No study with this UID is known here.")
        return as_facts(row._mapping)

    def jobs(
        self,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        before: int | None = None,
        study_instance_uid: str | None = None,
        shadow: bool | None = None,
        rows: int,
    ) -> list[Facts]:
        """Jobs, newest first, with what may be done about each."""
        with self._database.transaction() as session:
            return ask(
                session,
                "job_page",
                state=state,
                kind=kind,
                before=before,
                study_instance_uid=study_instance_uid,
                shadow=shadow,
                rows=rows,
            )

    def summary(self, days: int) -> Facts:
        """Counts over the last ``days``: studies, jobs, deliveries, quarantine; the studies and senders to look at.

        Asked of the rows once per change, however many pages ask; of an unchanged site, again after some seconds.
        """
        with self._summing:
            state = (days, self.change_marker())
            if self._summed is None or self._summed[0] != state or time.monotonic() > self._summed[1]:
                self._summed = (state, time.monotonic() + _SUMMARY_SECONDS, self._summary(days))
            return self._summed[2]

    def _summary(self, days: int) -> Facts:
        with self._database.transaction() as session:
            (studies,) = ask(session, "summary_studies", days=days, rows=_TROUBLE_SHOWN)
            return {
                **studies,
                "jobs": ask(session, "summary_jobs", days=days),
                "deliveries": ask(session, "summary_deliveries", days=days),
                "proofs": ask(session, "summary_proofs", days=days),
                "notifications": ask(session, "summary_notifications", days=days),
                "paused": paused_lanes(session),
                "quarantined": _quarantined(session),
                "rejected": ask(session, "summary_rejected", days=days, rows=_TROUBLE_SHOWN),
                "studies_ever": session.scalar(select(func.count()).select_from(StudyRow)),
                "instances_ever": session.scalar(text("SELECT coalesce(max(id), 0) FROM instance")),
                "algorithms": session.scalar(select(func.count()).where(AlgorithmRow.stage == "active")),
            }

    def events_ever(self) -> Facts:
        """Trouble since the installation, as ``CountedEvents.ever``."""
        return self._events.ever()

    def audit(
        self,
        *,
        action: AuditAction | None = None,
        actor: str | None = None,
        study_instance_uid: str | None = None,
        before: int | None = None,
        rows: int,
    ) -> list[Facts]:
        """Rows of the audit trail, newest first."""
        columns = (
            AuditEventRow.id,
            AuditEventRow.recorded_at,
            AuditEventRow.action,
            AuditEventRow.actor,
            AuditEventRow.outcome,
            AuditEventRow.study_instance_uid,
            AuditEventRow.job_id,
            AuditEventRow.details,
        )
        wanted = select(*columns).order_by(AuditEventRow.id.desc()).limit(rows)
        if action is not None:
            wanted = wanted.where(AuditEventRow.action == str(action))
        if actor is not None:
            wanted = wanted.where(AuditEventRow.actor == actor)
        if study_instance_uid is not None:
            wanted = wanted.where(AuditEventRow.study_instance_uid == study_instance_uid)
        if before is not None:
            wanted = wanted.where(AuditEventRow.id < before)
        with self._database.transaction() as session:
            return [as_facts(row._mapping) for row in session.execute(wanted)]

    def change_marker(self, study_instance_uid: str | None = None) -> int:
        """A number that differs once anything that a page shows has changed, of one study or of all."""
        wanted = (
            select(AuditEventRow.id)
            .where(AuditEventRow.action.not_in(_words(_LOOKS)))
            .order_by(AuditEventRow.id.desc())
            .limit(1)
        )
        if study_instance_uid is not None:
            wanted = wanted.where(AuditEventRow.study_instance_uid == study_instance_uid)
        with self._database.transaction() as session:
            return session.scalar(wanted) or 0


def _quarantined(session: Session) -> list[Facts]:
    rows = session.execute(
        select(
            QuarantinedObjectRow.reason,
            func.count().label("objects"),
            func.max(QuarantinedObjectRow.recorded_at).label("last_at"),
        )
        .group_by(QuarantinedObjectRow.reason)
        .order_by(QuarantinedObjectRow.reason)
    ).all()
    return [{**as_facts(row._mapping), "error": QUARANTINE_SENTENCES[QuarantineReason(row.reason)]} for row in rows]


def _words(actions: frozenset[AuditAction]) -> Sequence[str]:
    return sorted(map(str, actions))
