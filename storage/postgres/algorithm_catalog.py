"""Which algorithms are installed, and which of them are given work; every change is an audit row with its digests."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from storage.domain.algorithm import (
    AlgorithmEvent,
    AlgorithmStage,
    InputNeeds,
    RegisteredAlgorithm,
    Standing,
    next_stage,
)
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.job import FINAL_STATES, JobKind
from storage.errors import StandingChanged, StorageError, UnknownRecord
from storage.ports.facts import Facts
from storage.postgres.audit_trail import append
from storage.postgres.engine import ALGORITHM_LOCK, Database
from storage.postgres.facts import as_facts, ask
from storage.postgres.tables import AlgorithmRow, AuditEventRow, JobRow

AuditDetails = dict[str, str | int | float | None]

_COUNTED = ("active", "shadow")  # by job.shadow
_CHANGES = sorted(action for action in AuditAction if action.startswith("algorithm-"))
ROLLBACK = "rollback"  # the decision that the audit row of a promotion names


class PostgresAlgorithmCatalog:
    """Implements the port AlgorithmCatalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        algorithm: RegisteredAlgorithm,
        actor: str,
        golden: str | None = None,
        *,
        acceptance_sha256: str = "",
        restored: bool = False,
    ) -> None:
        """Record a version; one that is to be active is promoted in the same transaction.

        ``golden`` is how near its golden pair was met, ``acceptance_sha256`` the digest of its acceptance set, empty
        where it has none, ``restored`` whether a damaged copy of its files was replaced; all are for the audit row.

        Adding what is already there changes its folder, and its stage only where that makes it active.

        Raises:
            StorageError: this version is known with other bytes; a version never changes what it is.
            DatabaseUnavailable: nothing was written.
        """
        with self._database.transaction() as session:
            _hold_name(session, algorithm.name)
            known = _row(session, algorithm.name, algorithm.version)
            if known is None:
                known = _insert(session, algorithm)
                append(session, _added(known, actor, golden, acceptance_sha256))
            elif (known.manifest_sha256, known.artifact_sha256) != (
                algorithm.manifest_sha256,
                algorithm.artifact_sha256,
            ):
                raise StorageError(
                    f"Version {algorithm.version} of algorithm {algorithm.name} is already registered with other "
                    "bytes; give the changed one a new version."
                )
            elif restored or known.folder != str(algorithm.folder):
                again = "copy restored" if restored else "folder changed"
                append(session, _added(known, actor, golden, acceptance_sha256, again))
            known.folder = str(algorithm.folder)
            known.modalities, known.least_images = list(algorithm.needs.modalities), algorithm.needs.least_images
            if algorithm.stage is AlgorithmStage.ACTIVE and known.stage != algorithm.stage:
                _promote(session, known, actor)

    def acceptance_sha256(self, name: str, version: str) -> str:
        """The digest of the acceptance set that a version was added with last; empty where it never had one."""
        added = [event for event in self.history(name, version) if event["action"] == AuditAction.ALGORITHM_ADDED]
        digests = [
            str(event["details"]["acceptance_sha256"]) for event in added if "acceptance_sha256" in event["details"]
        ]
        return digests[-1] if digests else ""

    def standing(self, name: str) -> Standing:
        """Where every version of a name stands now, to be shown again with the decision that is made on it."""
        wanted = select(AlgorithmRow.version, AlgorithmRow.stage).where(AlgorithmRow.name == name)
        with self._database.transaction() as session:
            return Standing({row.version: AlgorithmStage(row.stage) for row in session.execute(wanted)})

    def promote(
        self,
        name: str,
        version: str,
        actor: str,
        details: AuditDetails | None = None,
        *,
        seen: Standing | None = None,
    ) -> RegisteredAlgorithm | None:
        """Give a version the work of its name from now on; return the version that had it, which is retired.

        Jobs that are scheduled already stay with the version they were scheduled for. ``details`` is what the audit
        row says beside the digests, such as of the acceptance set. With ``seen`` the decision holds only while neither
        the version nor which one is active has changed since.

        Raises:
            UnknownRecord: no such version.
            StandingChanged: somebody else has decided since ``seen``; nothing was changed.
            InvalidTransition: it is the active one already; nothing was changed.
        """
        with self._database.transaction() as session:
            _hold_name(session, name)
            row = _known(session, name, version)
            _refuse_other_than(session, row, seen)
            if details is not None and details.get("decision") == ROLLBACK:
                details = details | {"rolled_back_from": _were_active(session, name)[0].version}
            return _promote(session, row, actor, details)

    def record_acceptance(
        self, algorithm: RegisteredAlgorithm, actor: str, outcome: AuditOutcome, details: AuditDetails
    ) -> None:
        """Write down how a version did on an acceptance set, whatever is decided then. Raises UnknownRecord."""
        with self._database.transaction() as session:
            row = _known(session, algorithm.name, algorithm.version)
            event = _event(AuditAction.ALGORITHM_ACCEPTANCE_RUN, actor, row, details)
            append(session, replace(event, outcome=outcome))

    def history(self, name: str, version: str) -> list[Facts]:
        """The audit rows about one version, oldest first, with its digests and what else each says."""
        columns = (
            *(AuditEventRow.id, AuditEventRow.recorded_at, AuditEventRow.action, AuditEventRow.actor),
            *(AuditEventRow.outcome, AuditEventRow.details),
        )
        about = AuditEventRow.details
        wanted = (
            select(*columns)
            .where(AuditEventRow.action.in_(_CHANGES), about["name"].astext == name, about["version"].astext == version)
            .order_by(AuditEventRow.id)
        )
        with self._database.transaction() as session:
            return [as_facts(row._mapping) for row in session.execute(wanted)]

    def result_counts(self, name: str, version: str) -> dict[str, Facts]:
        """How many of a version's jobs came to what, under ``active`` those that count, under ``shadow`` the others."""
        counts = {stage: dict.fromkeys(("analysed", "not_analysed", "failed", "open"), 0) for stage in _COUNTED}
        with self._database.transaction() as session:
            for row in ask(session, "algorithm_results", algorithm_name=name, version=version):
                counts[_COUNTED[row.pop("shadow")]] = row
        return counts

    def shadow(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version the same studies as the active one, after all other work; what it finds stays in the database.

        Several versions of a name may be in shadow at once. Putting the active one there leaves its name without any;
        what is scheduled for it already is still done and delivered.

        Raises:
            UnknownRecord: no such version.
            StandingChanged: as with ``promote``.
            InvalidTransition: it is in shadow already; nothing was changed.
        """
        with self._database.transaction() as session:
            _hold_name(session, name)
            row = _known(session, name, version)
            _refuse_other_than(session, row, seen)
            before = row.stage
            row.stage = str(_after(row, AlgorithmEvent.SHADOW))
            session.flush()
            append(session, _event(AuditAction.ALGORITHM_SHADOWED, actor, row, {"previous_stage": before}))

    def retire(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version no more work; retiring the active one leaves its name without any.

        Raises:
            UnknownRecord: no such version.
            StandingChanged: as with ``promote``.
            InvalidTransition: it is retired already; nothing was changed.
        """
        with self._database.transaction() as session:
            _hold_name(session, name)
            row = _known(session, name, version)
            _refuse_other_than(session, row, seen)
            _retire(session, row, actor)

    def previous(self, name: str) -> RegisteredAlgorithm:
        """The version that was active before the one that was active last.

        A version that was rolled back from does not count until it is promoted again.

        Raises:
            UnknownRecord: there is none.
        """
        with self._database.transaction() as session:
            were = _were_active(session, name)
            if len(were) < 2:
                raise UnknownRecord(
                    f"Algorithm {name} has had no version before its last active one, but those that were rolled back "
                    f"from; `overread algorithms promote {name} VERSION` names one, `overread algorithms retire {name} "
                    "VERSION` ends the work of one."
                )
            return _registered(were[1])

    def find(self, name: str, version: str) -> RegisteredAlgorithm:
        """One version. Raises UnknownRecord."""
        with self._database.transaction() as session:
            return _registered(_known(session, name, version))

    def all(self, stage: AlgorithmStage | None = None) -> tuple[RegisteredAlgorithm, ...]:
        """Every version, newest first, or those of one stage."""
        wanted = select(AlgorithmRow).order_by(AlgorithmRow.added_at.desc(), AlgorithmRow.id.desc())
        if stage is not None:
            wanted = wanted.where(AlgorithmRow.stage == str(stage))
        with self._database.transaction() as session:
            return tuple(map(_registered, session.scalars(wanted)))

    def artifacts_at_work(self) -> frozenset[str]:
        """The digests of the networks of all versions but those that are retired and have no analysis left."""
        job_left = (
            select(JobRow.id)
            .where(
                JobRow.algorithm_id == AlgorithmRow.id,
                JobRow.kind == str(JobKind.INFERENCE),
                JobRow.state.not_in(sorted(FINAL_STATES)),
            )
            .exists()
        )
        at_work = or_(AlgorithmRow.stage != str(AlgorithmStage.RETIRED), job_left)
        with self._database.transaction() as session:
            return frozenset(session.scalars(select(AlgorithmRow.artifact_sha256).where(at_work)))


def _hold_name(session: Session, name: str) -> None:
    """Changes of one algorithm happen one after the other."""
    session.execute(select(func.pg_advisory_xact_lock(ALGORITHM_LOCK, func.hashtext(name))))


def _row(session: Session, name: str, version: str) -> AlgorithmRow | None:
    return session.scalar(select(AlgorithmRow).where(AlgorithmRow.name == name, AlgorithmRow.version == version))


def _known(session: Session, name: str, version: str) -> AlgorithmRow:
    row = _row(session, name, version)
    if row is None:
        raise UnknownRecord(f"Version {version} of algorithm {name} is not installed; see `overread algorithms list`.")
    return row


def _insert(session: Session, algorithm: RegisteredAlgorithm) -> AlgorithmRow:
    row = AlgorithmRow(
        name=algorithm.name,
        version=algorithm.version,
        stage=str(AlgorithmStage.REGISTERED),
        folder=str(algorithm.folder),
        manifest_sha256=algorithm.manifest_sha256,
        artifact_sha256=algorithm.artifact_sha256,
    )
    session.add(row)
    session.flush()
    return row


def _after(row: AlgorithmRow, event: AlgorithmEvent) -> AlgorithmStage:
    return next_stage(AlgorithmStage(row.stage), event, f"Version {row.version} of algorithm {row.name}")


def _active(session: Session, name: str) -> AlgorithmRow | None:
    return session.scalar(
        select(AlgorithmRow).where(AlgorithmRow.name == name, AlgorithmRow.stage == str(AlgorithmStage.ACTIVE))
    )


def _were_active(session: Session, name: str) -> list[AlgorithmRow]:
    """The versions that were active, the last one first, without those that were rolled back from since."""
    about = AuditEventRow.details
    promotions = (
        select(about)
        .where(AuditEventRow.action == str(AuditAction.ALGORITHM_PROMOTED), about["name"].astext == name)
        .order_by(AuditEventRow.id)
    )
    left: set[str] = set()
    for details in session.scalars(promotions):
        left.discard(str(details["version"]))
        if details.get("decision") == ROLLBACK:
            # Rows of releases before this one name the version only where it was still active.
            left.add(str(details.get("rolled_back_from") or details.get("previous_version")))
    rows = session.scalars(
        select(AlgorithmRow)
        .where(AlgorithmRow.name == name, AlgorithmRow.activated_at.is_not(None))
        .order_by(AlgorithmRow.activated_at.desc(), AlgorithmRow.id.desc())
    )
    return [row for row in rows if row.version not in left]


def _refuse_other_than(session: Session, row: AlgorithmRow, seen: Standing | None) -> None:
    """Compare and set: what somebody decided on must still be so. Raises StandingChanged."""
    if seen is None:
        return
    active = _active(session, row.name)
    now = active.version if active else None
    if now == seen.active and row.stage == seen.stages.get(row.version):
        return
    was = "" if now == seen.active else f" (it was {seen.active or 'none'} before)"
    raise StandingChanged(
        f"Somebody else decided about algorithm {row.name} meanwhile: its active version is {now or 'none'} now{was}, "
        f"and version {row.version} is {row.stage}; nothing was changed, decide again."
    )


def _promote(
    session: Session, row: AlgorithmRow, actor: str, details: AuditDetails | None = None
) -> RegisteredAlgorithm | None:
    stage = _after(row, AlgorithmEvent.PROMOTE)
    before = _active(session, row.name)
    replaced: AuditDetails = {}
    if before is not None:
        _retire(session, before, actor)
        replaced = {
            "previous_version": before.version,
            "previous_manifest_sha256": before.manifest_sha256,
            "previous_artifact_sha256": before.artifact_sha256,
        }
    row.stage = str(stage)
    row.activated_at = session.scalar(select(func.clock_timestamp()))
    session.flush()
    append(session, _event(AuditAction.ALGORITHM_PROMOTED, actor, row, replaced | (details or {})))
    return None if before is None else _registered(before)


def _retire(session: Session, row: AlgorithmRow, actor: str) -> None:
    row.stage = str(_after(row, AlgorithmEvent.RETIRE))
    session.flush()  # before another version becomes active: a name has one at most
    append(session, _event(AuditAction.ALGORITHM_RETIRED, actor, row))


def _added(
    row: AlgorithmRow, actor: str, golden: str | None, acceptance_sha256: str, again: str | None = None
) -> AuditEvent:
    details = (("golden", golden), ("acceptance_sha256", acceptance_sha256), ("again", again))
    told: AuditDetails = {key: value for key, value in details if value}
    return _event(AuditAction.ALGORITHM_ADDED, actor, row, told)


def _event(action: AuditAction, actor: str, row: AlgorithmRow, more: AuditDetails | None = None) -> AuditEvent:
    details: AuditDetails = {
        "name": row.name,
        "version": row.version,
        "manifest_sha256": row.manifest_sha256,
        "artifact_sha256": row.artifact_sha256,
    }
    return AuditEvent(action, actor, details=details | (more or {}))


def _registered(row: AlgorithmRow) -> RegisteredAlgorithm:
    return RegisteredAlgorithm(
        name=row.name,
        version=row.version,
        stage=AlgorithmStage(row.stage),
        folder=Path(row.folder),
        manifest_sha256=row.manifest_sha256,
        artifact_sha256=row.artifact_sha256,
        needs=InputNeeds(tuple(row.modalities), row.least_images),
    )
