"""Rows for what the spool holds."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association, AssociationEnd
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.job import Reason
from storage.domain.study import ExclusionRule, StudySize
from storage.postgres import arrival_rows as rows
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.statement import statement
from storage.postgres.tables import InstanceRow, StudyRow

_ACTOR = "listener"

PATIENT_MIX = Reason(
    "patient-mix",
    "Instances of this study name different patients, so no further analysis is made; correct the sender's data, "
    "then send the study again under another Study Instance UID.",
)


class PostgresArrivalLog:
    """Implements the port ArrivalLog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def digests(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """The SHA-256 of each of these instances that has its row. Raises DatabaseUnavailable."""
        with self._database.transaction() as session:
            found = session.execute(
                select(InstanceRow.sop_instance_uid, InstanceRow.sha256).where(
                    InstanceRow.sop_instance_uid.in_(sop_instance_uids)
                )
            )
            return {row.sop_instance_uid: row.sha256 for row in found}

    def record(
        self,
        arrivals: Sequence[Arrival],
        quarantined: Sequence[QuarantinedObject],
        associations: Sequence[Association],
    ) -> dict[str, StudySize]:
        """Write everything in one transaction, with its audit rows; recording the same thing twice changes nothing.

        Returns how much is held now of each study that something arrived of, by Study Instance UID.

        Raises:
            DatabaseUnavailable: nothing was written; the spool keeps everything.
        """
        met = [*(arrival.association for arrival in arrivals), *(thing.association for thing in quarantined)]
        with self._database.transaction() as session:
            _record_associations(session, [*met, *associations])
            sizes = _record_arrivals(session, arrivals)
            _record_quarantined(session, quarantined)
        return sizes

    def sizes(self, study_instance_uids: Collection[str]) -> dict[str, StudySize]:
        """How much is held of each of these studies that has a row. Raises DatabaseUnavailable."""
        with self._database.transaction() as session:
            found = session.execute(
                select(StudyRow.study_instance_uid, StudyRow.instance_count, StudyRow.byte_count).where(
                    StudyRow.study_instance_uid.in_(study_instance_uids)
                )
            )
            return {row.study_instance_uid: StudySize(row.instance_count, row.byte_count) for row in found}

    def record_full_study(self, study_instance_uid: str, size: StudySize) -> None:
        """Write the audit row of a study that may have no more. Raises DatabaseUnavailable."""
        event = AuditEvent(
            AuditAction.STUDY_FULL,
            _ACTOR,
            AuditOutcome.MINOR_FAILURE,
            study_instance_uid=study_instance_uid,
            details={"instances": size.instances, "bytes": size.bytes},
        )
        with self._database.transaction() as session:
            append(session, event)


def _record_associations(session: Session, associations: Sequence[Association]) -> None:
    known: dict[str, Association] = {}
    for association in associations:
        before = known.get(association.association_id)
        if before is None or before.end is AssociationEnd.OPEN:
            known[association.association_id] = association
    if not known:
        return
    written = session.execute(
        statement("record_associations"), {"rows": rows.as_rows(map(rows.association_row, known.values()))}
    ).scalars()
    ended = [known[key] for key in written if known[key].end is not AssociationEnd.OPEN]
    append(session, *map(_end_event, ended))


def _end_event(association: Association) -> AuditEvent:
    rejected = association.end is AssociationEnd.REJECTED
    released = association.end is AssociationEnd.RELEASED
    return AuditEvent(
        AuditAction.ASSOCIATION_REJECTED if rejected else AuditAction.ASSOCIATION_ENDED,
        _ACTOR,
        AuditOutcome.SUCCESS if released else AuditOutcome.MINOR_FAILURE,
        details={
            "association_id": association.association_id,
            "calling_ae_title": association.calling_ae_title,
            "called_ae_title": association.called_ae_title,
            "remote_address": association.remote_address,
            "door": str(association.door),
            "account": association.account,
            "end": str(association.end),
            "stored_count": association.stored_count,
            "refused_count": association.refused_count,
            "reason": association.reason,
        },
    )


def _record_arrivals(session: Session, arrivals: Sequence[Arrival]) -> dict[str, StudySize]:
    if not arrivals:
        return {}
    studies = _studies_held(session, arrivals)
    located = [(studies[arrival.header.study_instance_uid].id, arrival) for arrival in arrivals]
    series = {(study_id, arrival.header.series_instance_uid): (study_id, arrival) for study_id, arrival in located}
    session.execute(
        statement("record_series"), {"rows": rows.as_rows(rows.series_row(*series[key]) for key in sorted(series))}
    )
    _record_attributes(session, located)
    new = session.execute(
        statement("record_instances"), {"rows": rows.as_rows(rows.instance_row(*item) for item in located)}
    ).all()
    _record_images(session, arrivals, {row.sop_instance_uid for row in new})
    _audit_stored(session, new, {study.id: uid for uid, study in studies.items()})
    added = _added_by(new)
    _note_arrivals(session, added, active={row.study_id for row in new if row.excluded_rule is None})
    # A PACS may have changed the patient of a result of ours; anybody else's object is a witness of a mix.
    witnesses = {row.sop_instance_uid for row in new if row.excluded_rule != ExclusionRule.OWN_RESULT}
    _park_mixes(session, [arrival for arrival in arrivals if arrival.header.sop_instance_uid in witnesses], studies)
    return {uid: _grown(study, added.get(study.id)) for uid, study in studies.items()}


def _record_images(session: Session, arrivals: Sequence[Arrival], new: set[str]) -> None:
    """An instance that has its row already keeps what was read of it then."""
    images = {arrival.header.sop_instance_uid: rows.image_row(arrival) for arrival in arrivals}
    known = [row for uid, row in images.items() if uid in new and row is not None]
    if known:
        session.execute(statement("record_images"), {"rows": rows.as_rows(known)})


def _record_attributes(session: Session, located: Sequence[tuple[int, Arrival]]) -> None:
    said = (rows.attributes_row(*item) for item in located)
    known = {(row["study_id"], row["series_instance_uid"]): row for row in said if row is not None}
    if known:
        session.execute(statement("record_attributes"), {"rows": rows.as_rows(known[key] for key in sorted(known))})


def _studies_held(session: Session, arrivals: Sequence[Arrival]) -> dict[str, Row[Any]]:
    first = {arrival.header.study_instance_uid: arrival for arrival in reversed(arrivals)}
    session.execute(statement("record_studies"), {"rows": rows.as_rows(map(rows.study_row, first.values()))})
    held = session.execute(statement("lock_studies"), {"study_instance_uids": list(first)})
    return {row.study_instance_uid: row for row in held}


def _added_by(new: Sequence[Row[Any]]) -> dict[int, StudySize]:
    sizes: dict[int, list[int]] = {}
    for row in new:
        sizes.setdefault(row.study_id, []).append(row.size)
    return {study_id: StudySize(len(of_study), sum(of_study)) for study_id, of_study in sizes.items()}


def _grown(study: Row[Any], added: StudySize | None) -> StudySize:
    """What is held of a study that we keep locked."""
    if added is None:
        return StudySize(study.instance_count, study.byte_count)
    return StudySize(study.instance_count + added.instances, study.byte_count + added.bytes)


def _note_arrivals(session: Session, added: dict[int, StudySize], active: set[int]) -> None:
    facts = [
        {"study_id": study_id, "instances": size.instances, "bytes": size.bytes, "active": study_id in active}
        for study_id, size in added.items()
    ]
    if facts:
        session.execute(statement("note_arrivals"), {"rows": rows.as_rows(facts)})


def _audit_stored(session: Session, new: Sequence[Row[Any]], study_uids: dict[int, str]) -> None:
    """One event per association and study: a thousand slices make one line, not a thousand."""
    stored = Counter((row.association_id, row.study_id) for row in new)
    excluded = Counter(
        (row.association_id, row.study_id, row.excluded_rule) for row in new if row.excluded_rule is not None
    )
    append(
        session,
        *(
            AuditEvent(
                AuditAction.INSTANCE_STORED,
                _ACTOR,
                study_instance_uid=study_uids[study_id],
                details={"association_id": association_id, "instances": count}
                | _excluded_of(excluded, association_id, study_id),
            )
            for (association_id, study_id), count in stored.items()
        ),
    )


def _excluded_of(
    excluded: Counter[tuple[str, int, str]], association_id: str, study_id: int
) -> dict[str, str | int | float | None]:
    """How many do not count, and how many of them by each rule; the rules are counted from here for good."""
    by_rule = {str(rule): excluded[association_id, study_id, rule] for rule in ExclusionRule}
    return {"excluded": sum(by_rule.values()), **{rule: number for rule, number in by_rule.items() if number}}


def _park_mixes(session: Session, arrivals: Sequence[Arrival], studies: dict[str, Row[Any]]) -> None:
    mixed: set[str] = set()
    for arrival in arrivals:
        row = rows.study_row(arrival)
        study = studies[arrival.header.study_instance_uid]
        if (row["patient_id"], row["issuer_of_patient_id"]) != (study.patient_id, study.issuer_of_patient_id):
            mixed.add(arrival.header.study_instance_uid)
    for uid in sorted(uid for uid in mixed if not studies[uid].parked):
        session.execute(
            update(StudyRow)
            .where(StudyRow.id == studies[uid].id)
            .values(parked_at=func.now(), parked_code=PATIENT_MIX.code, parked_sentence=PATIENT_MIX.sentence)
        )
        append(
            session,
            AuditEvent(
                AuditAction.STUDY_PARKED,
                _ACTOR,
                AuditOutcome.MINOR_FAILURE,
                study_instance_uid=uid,
                details={"code": PATIENT_MIX.code},
            ),
        )


def _record_quarantined(session: Session, quarantined: Sequence[QuarantinedObject]) -> None:
    things = {thing.quarantine_id: thing for thing in quarantined}
    if not things:
        return
    new = session.execute(
        statement("record_quarantined"), {"rows": rows.as_rows(map(rows.quarantined_row, things.values()))}
    ).scalars()
    append(session, *(_quarantine_event(things[quarantine_id]) for quarantine_id in new))


def _quarantine_event(thing: QuarantinedObject) -> AuditEvent:
    return AuditEvent(
        AuditAction.INSTANCE_QUARANTINED,
        _ACTOR,
        AuditOutcome.MINOR_FAILURE,
        study_instance_uid=thing.study_instance_uid,
        details={
            "association_id": thing.association.association_id,
            "quarantine_id": thing.quarantine_id,
            "reason": str(thing.reason),
            "sop_instance_uid": thing.sop_instance_uid,
            "sha256": thing.sha256,
            "size": thing.size,
        },
    )
