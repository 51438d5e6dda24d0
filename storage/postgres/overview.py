"""What administrators and auditors ask of the rows; nothing here changes any."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from storage.domain.completeness import Patience
from storage.domain.study import EXCLUSION_SENTENCES, QUARANTINE_SENTENCES, ExclusionRule, QuarantineReason
from storage.domain.workitem import WorkitemState
from storage.errors import UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.engine import Database
from storage.postgres.facts import as_facts, ask
from storage.postgres.lane_rows import paused_lanes
from storage.postgres.notification_rows import told_messages
from storage.postgres.statement import statement
from storage.postgres.study_settlement import look_at
from storage.postgres.tables import (
    InstanceRow,
    QuarantinedObjectRow,
    RevisionEvidenceRow,
    RevisionRouteRow,
    SeriesRow,
    StudyRevisionRow,
    StudyRow,
)

_EVER = 36_500  # days
_MOST_WORKITEMS = 100  # of one study
_MOST_MESSAGES = 1_000


class Overview:
    """Facts about studies, jobs and deliveries as plain dictionaries that JSON can carry; times are ISO 8601 in UTC.

    Every method raises DatabaseUnavailable while the server does not answer. No fact holds a patient's name or ID.
    """

    def __init__(self, database: Database, patience: Patience | None = None) -> None:
        """``patience`` decides when a study is complete; without it nothing says what one waits for."""
        self._database = database
        self._patience = patience

    def status(self) -> Facts:
        """Every study, job, delivery and quarantined object, each with its state and the sentence of its error."""
        with self._database.transaction() as session:
            return {
                "studies": ask(session, "overview_studies", study_instance_uid=None),
                "jobs": ask(session, "overview_jobs", study_instance_uid=None, shadow=None),
                "deliveries": ask(session, "overview_deliveries", study_instance_uid=None),
                "quarantined": _quarantined(session, None),
                "paused": paused_lanes(session),
                "notifications": told_messages(session, None, None, True, _MOST_MESSAGES),
            }

    def paused(self) -> list[Facts]:
        """Every destination whose deliveries are paused: since when, until when and why."""
        with self._database.transaction() as session:
            return paused_lanes(session)

    def workitems(self, *, state: WorkitemState | None = None, most: int) -> list[Facts]:
        """What other systems asked for over the worklist, newest first, in this state where one is named."""
        with self._database.transaction() as session:
            return _workitems(session, None, state, most)

    def destinations(self) -> list[Facts]:
        """What each destination that was ever owed anything has, waits for and did not get, in evidence objects."""
        with self._database.transaction() as session:
            return ask(session, "destination_deliveries")

    def unproven(self) -> list[Facts]:
        """How many objects each destination acknowledged that are not proven to be there, where that is asked."""
        with self._database.transaction() as session:
            return ask(session, "summary_proofs", days=_EVER)

    def explain(self, uid: str) -> Facts:
        """Everything that is known about the study that a Study, Series or SOP Instance UID belongs to.

        ``level`` says what the UID named: study, series, instance, evidence or quarantined.

        Raises:
            UnknownRecord: no row has this UID.
        """
        with self._database.transaction() as session:
            found = session.execute(statement("studies_of_uid"), {"uid": uid}).first()
            aside = _quarantined(session, uid)
            if found is None and not aside:
                raise UnknownRecord(
                    f"No study, series or instance {uid} is known here; if it was sent a moment ago, it may still "
                    "stand in the spool."
                )
            if found is None:
                level, study_instance_uid = "quarantined", aside[0]["study_instance_uid"]
            else:
                level, study_instance_uid = found.level, found.study_instance_uid
            return {
                "uid": uid,
                "level": level,
                **_study_facts(session, study_instance_uid, uid),
                "waiting": _waiting(session, study_instance_uid, self._patience) if self._patience else [],
            }

    def report(self, study_instance_uid: str) -> list[Facts]:
        """The results of a study with their report text, pictures and evidence, oldest first.

        Raises:
            UnknownRecord: no such study.
        """
        with self._database.transaction() as session:
            known = session.scalar(select(StudyRow.id).where(StudyRow.study_instance_uid == study_instance_uid))
            if known is None:
                raise UnknownRecord(f"No study {study_instance_uid} is known here.")
            return ask(session, "explain_results", study_instance_uid=study_instance_uid, shadow=False)

    def no_silent_state(self) -> list[Facts]:
        """Every acknowledged instance that nothing accounts for; anything but an empty list is a fault of ours."""
        with self._database.transaction() as session:
            return ask(session, "no_silent_state")


def _workitems(session: Session, study_instance_uid: str | None, state: WorkitemState | None, most: int) -> list[Facts]:
    wanted = {"study_instance_uid": study_instance_uid, "state": None if state is None else str(state), "most": most}
    return ask(session, "overview_workitems", **wanted)


def _study_facts(session: Session, study_instance_uid: str, uid: str) -> Facts:
    only = {"study_instance_uid": study_instance_uid}
    studies = ask(session, "overview_studies", **only) if study_instance_uid else []
    return {
        "study_instance_uid": study_instance_uid,
        "study": studies[0] if studies else None,
        "associations": ask(session, "explain_associations", **only),
        "series": ask(session, "explain_series", **only),
        "instance": _instance(session, uid),
        "excluded": _excluded(session, study_instance_uid),
        "quarantined": _quarantined(session, study_instance_uid or uid),
        "revisions": _revisions(session, study_instance_uid),
        "jobs": ask(session, "overview_jobs", **only, shadow=False),
        "results": ask(session, "explain_results", **only, shadow=False),
        "feedback": ask(session, "study_feedback", **only),
        "returned": ask(session, "study_returned", **only),
        "shadow_jobs": ask(session, "overview_jobs", **only, shadow=True),
        "shadow_results": ask(session, "explain_results", **only, shadow=True),
        "deliveries": ask(session, "overview_deliveries", **only),
        "paused": paused_lanes(session),
        "workitems": _workitems(session, study_instance_uid, None, _MOST_WORKITEMS)[::-1],
        "fetches": ask(session, "explain_fetches", **only),
        "priors": ask(session, "explain_priors", **only),
        "notifications": told_messages(session, None, study_instance_uid, False, _MOST_MESSAGES)[::-1],
    }


def _instance(session: Session, uid: str) -> Facts | None:
    row = session.execute(
        select(
            InstanceRow.sop_instance_uid,
            InstanceRow.sop_class_uid,
            SeriesRow.series_instance_uid,
            InstanceRow.transfer_syntax_uid,
            InstanceRow.sha256,
            InstanceRow.size,
            InstanceRow.association_id,
            InstanceRow.received_at,
            InstanceRow.revision,
            InstanceRow.excluded_rule,
        )
        .join(SeriesRow, SeriesRow.id == InstanceRow.series_id)
        .where(InstanceRow.sop_instance_uid == uid)
    ).one_or_none()
    return None if row is None else as_facts(row._mapping)


def _excluded(session: Session, study_instance_uid: str) -> list[Facts]:
    rows = session.execute(
        select(InstanceRow.sop_instance_uid, InstanceRow.excluded_rule, InstanceRow.received_at)
        .join(StudyRow, StudyRow.id == InstanceRow.study_id)
        .where(StudyRow.study_instance_uid == study_instance_uid, InstanceRow.excluded_rule.is_not(None))
        .order_by(InstanceRow.id)
    )
    return [{**as_facts(row._mapping), "reason": EXCLUSION_SENTENCES[ExclusionRule(row.excluded_rule)]} for row in rows]


def _waiting(session: Session, study_instance_uid: str, patience: Patience) -> list[Facts]:
    """Why the study is not complete yet, the decisive first; nothing of one that has nothing new, or is complete."""
    decision = look_at(session, study_instance_uid, patience)
    if decision is None or decision.complete:
        return []
    told = [
        {"kind": str(one.kind), "decisive": one.kind is decision.because, "sentence": one.sentence}
        for one in decision.evidence
    ]
    return sorted(told, key=lambda one: not one["decisive"])


def _revisions(session: Session, study_instance_uid: str) -> list[Facts]:
    rows = session.execute(
        select(
            StudyRevisionRow.revision,
            StudyRevisionRow.stable_at,
            StudyRevisionRow.reason_code,
            StudyRevisionRow.reason_sentence.label("reason"),
        )
        .join(StudyRow, StudyRow.id == StudyRevisionRow.study_id)
        .where(StudyRow.study_instance_uid == study_instance_uid)
        .order_by(StudyRevisionRow.revision)
    )
    evidence = _revision_evidence(session, study_instance_uid)
    routes = _revision_routes(session, study_instance_uid)
    return [
        {
            **as_facts(row._mapping),
            "evidence": evidence.get(row.revision, []),
            "routes": routes.get(row.revision, []),
        }
        for row in rows
    ]


def _revision_routes(session: Session, study_instance_uid: str) -> dict[int, list[str]]:
    """By which routes each revision goes, a sentence for each title under which it came."""
    rows = session.execute(
        select(RevisionRouteRow.revision, RevisionRouteRow.sentence)
        .join(StudyRow, StudyRow.id == RevisionRouteRow.study_id)
        .where(StudyRow.study_instance_uid == study_instance_uid)
        .order_by(RevisionRouteRow.called_ae_title)
    )
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row.revision, []).append(row.sentence)
    return found


def _revision_evidence(session: Session, study_instance_uid: str) -> dict[int, list[Facts]]:
    """On what it was decided that each revision is complete, the decisive first."""
    rows = session.execute(
        select(
            RevisionEvidenceRow.revision,
            RevisionEvidenceRow.kind,
            RevisionEvidenceRow.word,
            RevisionEvidenceRow.decisive,
            RevisionEvidenceRow.sentence,
        )
        .join(StudyRow, StudyRow.id == RevisionEvidenceRow.study_id)
        .where(StudyRow.study_instance_uid == study_instance_uid)
        .order_by(RevisionEvidenceRow.decisive.desc(), RevisionEvidenceRow.kind)
    )
    found: dict[int, list[Facts]] = {}
    for row in rows:
        told = {name: value for name, value in row._mapping.items() if name != "revision"}
        found.setdefault(row.revision, []).append(told)
    return found


def _quarantined(session: Session, uid: str | None) -> list[Facts]:
    wanted = select(QuarantinedObjectRow).order_by(QuarantinedObjectRow.recorded_at, QuarantinedObjectRow.quarantine_id)
    if uid is not None:
        wanted = wanted.where(
            or_(QuarantinedObjectRow.sop_instance_uid == uid, QuarantinedObjectRow.study_instance_uid == uid)
        )
    return [
        {
            "quarantine_id": row.quarantine_id,
            "study_instance_uid": row.study_instance_uid,
            "sop_instance_uid": row.sop_instance_uid,
            "state": "quarantined",
            "reason_code": row.reason,
            "error": QUARANTINE_SENTENCES[QuarantineReason(row.reason)],
            "sha256": row.sha256,
            "size": row.size,
            "association_id": row.association_id,
            "received_at": row.received_at.isoformat(),
        }
        for row in session.scalars(wanted)
    ]
