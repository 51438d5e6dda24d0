"""Making a complete study stable: a revision that holds exactly its instances, and one job per active algorithm."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storage.domain.audit_event import AuditAction, AuditEvent
from storage.domain.completeness import Decision, EvidenceKind, Patience, Source, StudyFacts, decide, said_evidence
from storage.domain.fetch import FETCHED_AS_CONTEXT
from storage.domain.job import Reason
from storage.domain.route import Routes
from storage.postgres.audit_trail import append
from storage.postgres.completeness_rows import GeometrySeen, gathered_evidence, store_decision, unsettled_sources
from storage.postgres.engine import Database
from storage.postgres.fetch_rows import holds_context_only
from storage.postgres.inference_schedule import schedule_inference
from storage.postgres.prior_rows import ask_for_priors
from storage.postgres.statement import statement
from storage.postgres.study_counts import forget_counts, want_counts
from storage.postgres.study_ways import store_choices, ways_of
from storage.postgres.tables import InstanceRow, StudyRevisionRow, StudyRow

_ACTOR = "housekeeper"
_NO_ROUTES = Routes()

NO_ALGORITHM = Reason(
    "no-algorithm",
    "No algorithm was active for this study when it became complete; install one with `overread algorithms add "
    "FOLDER`, then have this study analysed with `overread jobs submit` and its Study Instance UID.",
)


@dataclass(frozen=True, slots=True)
class SettledStudy:
    """A study that has just become stable, and how many jobs that made, not counting those of shadows."""

    study_instance_uid: str
    revision: int
    jobs: int
    because: EvidenceKind


def perhaps_complete(database: Database, patience: Patience) -> list[int]:
    """The studies that are worth a look, by the identifiers of their rows.

    Raises:
        DatabaseUnavailable: try again later.
    """
    with database.transaction() as session:
        bounds = {"soonest": patience.soonest(), "longest_wait": patience.shortest_longest_wait()}
        return list(session.execute(statement("perhaps_complete"), bounds).scalars())


def settle_if_complete(
    database: Database,
    study_id: int,
    patience: Patience,
    routes: Routes = _NO_ROUTES,
    seen: GeometrySeen | None = None,
) -> SettledStudy | None:
    """Look whether a study is complete, and make it stable if so; ``None`` when it is not, or is being written.

    ``routes`` say which algorithms look at it; ``seen`` is what earlier looks at waiting studies found.

    Raises:
        DatabaseUnavailable: nothing was changed.
    """
    with database.transaction() as session:
        study = session.execute(statement("lock_unsettled_study"), {"study_id": study_id}).one_or_none()
        if study is None:
            return None
        sources = unsettled_sources(session, study_id)
        if not sources:  # another housekeeper settled it between the look and our lock
            return None
        decision = _decided(session, study, sources, patience, seen or GeometrySeen())
        if not decision.complete:
            want_counts(session, study_id, patience.with_all(sources).count_at)
            return None
        return _settle(session, study_id, study.study_instance_uid, study.revision + 1, decision, _ACTOR, routes)


def look_at(session: Session, study_instance_uid: str, patience: Patience) -> Decision | None:
    """What would be decided of a study now, by what is known; ``None`` where it has nothing new, or is parked."""
    study = session.execute(statement("unsettled_study"), {"study_instance_uid": study_instance_uid}).one_or_none()
    sources = unsettled_sources(session, study.study_id) if study is not None else {}
    return _decided(session, study, sources, patience, GeometrySeen()) if sources else None


def _decided(
    session: Session,
    study: Any,  # noqa: ANN401 - a row
    sources: Mapping[Source, int],
    patience: Patience,
    seen: GeometrySeen,
) -> Decision:
    of_study, instances = patience.with_all(sources), sum(sources.values())
    looked = seen.at((study.last_received_at, instances))
    uid = study.study_instance_uid
    evidence = tuple(gathered_evidence(session, study.study_id, uid, patience, of_study, study.quiet_for, looked))
    return decide(StudyFacts(instances, study.quiet_for, study.waited, evidence), of_study)


def settle_next_study(
    database: Database, patience: Patience | float, routes: Routes = _NO_ROUTES
) -> SettledStudy | None:
    """Make one study stable that is complete; ``None`` when there is none. A number is a quiet time for all sources.

    Raises:
        DatabaseUnavailable: nothing was changed.
    """
    known = patience if isinstance(patience, Patience) else Patience.of_quiet(patience)
    for study_id in perhaps_complete(database, known):
        settled = settle_if_complete(database, study_id, known, routes)
        if settled is not None:
            return settled
    return None


class PostgresStudySettlement:
    """Implements the port StudySettlement: for whoever says that a study is complete, instead of a quiet time."""

    def __init__(self, database: Database, routes: Routes = _NO_ROUTES) -> None:
        self._database = database
        self._routes = routes

    def settle_now(self, study_instance_uid: str, sop_instance_uids: Collection[str], actor: str) -> bool:
        """Make the study stable as it is once it holds these instances; ``False`` while some of them have no row yet.

        A study that has nothing new, or that is parked, is left as it is.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        with self._database.transaction() as session:
            study = session.scalar(
                select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update()
            )
            held = select(func.count(InstanceRow.id)).where(InstanceRow.sop_instance_uid.in_(sop_instance_uids))
            if study is None or (session.scalar(held) or 0) < len(set(sop_instance_uids)):
                return False
            if study.parked_at is None and (sources := unsettled_sources(session, study.id)):
                said = said_evidence(actor, sum(sources.values()))
                decision = Decision(True, EvidenceKind.SAID, (said,))
                _settle(session, study.id, study_instance_uid, study.revision + 1, decision, actor, self._routes)
            return True


def _settle(
    session: Session,
    study_id: int,
    study_instance_uid: str,
    revision: int,
    decision: Decision,
    actor: str,
    routes: Routes,
) -> SettledStudy:
    """Open the revision of a study that the caller has locked, and schedule its work."""
    count = _open_revision(session, study_id, revision)
    store_decision(session, study_id, revision, decision)
    forget_counts(session, study_id)
    append(
        session,
        AuditEvent(
            AuditAction.STUDY_STABLE,
            actor,
            study_instance_uid=study_instance_uid,
            details={"revision": revision, "instances": count, "because": str(decision.because)},
        ),
    )
    ways = ways_of(session, study_id, revision)
    store_choices(session, study_id, revision, routes.choices(ways))
    if holds_context_only(session, study_id, study_instance_uid):
        _say_why_not(session, study_id, revision, FETCHED_AS_CONTEXT)
        return SettledStudy(study_instance_uid, revision, 0, decision.because)
    ask_for_priors(session, study_id, routes.priors(ways))
    algorithms, urgency = routes.algorithms(ways), routes.urgency(ways)
    jobs = schedule_inference(session, study_id, study_instance_uid, revision, actor, algorithms, urgency)
    if not jobs.active:  # what a shadow finds is no answer to anybody
        _say_why_not(session, study_id, revision, NO_ALGORITHM)
    return SettledStudy(study_instance_uid, revision, len(jobs.active), decision.because)


def _open_revision(session: Session, study_id: int, revision: int) -> int:
    session.execute(insert(StudyRevisionRow).values(study_id=study_id, revision=revision))
    session.execute(update(StudyRow).where(StudyRow.id == study_id).values(revision=revision, unsettled_since=None))
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


def _say_why_not(session: Session, study_id: int, revision: int, reason: Reason) -> None:
    session.execute(
        update(StudyRevisionRow)
        .where(StudyRevisionRow.study_id == study_id, StudyRevisionRow.revision == revision)
        .values(reason_code=reason.code, reason_sentence=reason.sentence)
    )
