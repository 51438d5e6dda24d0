"""Which algorithms are installed, and which of them are given work."""

from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.audit_event import AuditAction, AuditEvent
from storage.errors import StorageError, UnknownRecord
from storage.postgres.audit_trail import append
from storage.postgres.engine import Database
from storage.postgres.tables import AlgorithmRow


class PostgresAlgorithmCatalog:
    """Implements the port AlgorithmCatalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, algorithm: RegisteredAlgorithm, actor: str) -> None:
        """Record a version; the previous active version of the same name is retired in the same transaction.

        Adding what is already there in the same stage changes nothing but its folder.

        Raises:
            StorageError: this version is known with other bytes; a version never changes what it is.
            DatabaseUnavailable: nothing was written.
        """
        with self._database.transaction() as session:
            if algorithm.stage is AlgorithmStage.ACTIVE:
                _retire_others(session, algorithm, actor)
            known = _locked(session, algorithm)
            if known is not None and (known.manifest_sha256, known.artifact_sha256) != (
                algorithm.manifest_sha256,
                algorithm.artifact_sha256,
            ):
                raise StorageError(
                    f"Version {algorithm.version} of algorithm {algorithm.name} is already registered with other "
                    "bytes; give the changed one a new version."
                )
            if known is None or known.stage != algorithm.stage:
                append(
                    session, _event(AuditAction.ALGORITHM_ADDED, algorithm.name, algorithm.version, actor, algorithm)
                )
            _write(session, algorithm)

    def find(self, name: str, version: str) -> RegisteredAlgorithm:
        """One version. Raises UnknownRecord."""
        with self._database.transaction() as session:
            row = session.scalar(select(AlgorithmRow).where(AlgorithmRow.name == name, AlgorithmRow.version == version))
        if row is None:
            raise UnknownRecord(
                f"Version {version} of algorithm {name} is not installed; see `overread algorithms list`."
            )
        return _registered(row)

    def all(self, stage: AlgorithmStage | None = None) -> tuple[RegisteredAlgorithm, ...]:
        """Every version, newest first, or those of one stage."""
        wanted = select(AlgorithmRow).order_by(AlgorithmRow.added_at.desc(), AlgorithmRow.id.desc())
        if stage is not None:
            wanted = wanted.where(AlgorithmRow.stage == str(stage))
        with self._database.transaction() as session:
            return tuple(map(_registered, session.scalars(wanted)))


def _retire_others(session: Session, algorithm: RegisteredAlgorithm, actor: str) -> None:
    retired = session.scalars(
        update(AlgorithmRow)
        .where(
            AlgorithmRow.name == algorithm.name,
            AlgorithmRow.version != algorithm.version,
            AlgorithmRow.stage == str(AlgorithmStage.ACTIVE),
        )
        .values(stage=str(AlgorithmStage.RETIRED))
        .returning(AlgorithmRow.version)
    ).all()
    append(session, *(_event(AuditAction.ALGORITHM_RETIRED, algorithm.name, version, actor) for version in retired))


def _locked(session: Session, algorithm: RegisteredAlgorithm) -> AlgorithmRow | None:
    return session.scalar(
        select(AlgorithmRow)
        .where(AlgorithmRow.name == algorithm.name, AlgorithmRow.version == algorithm.version)
        .with_for_update()
    )


def _write(session: Session, algorithm: RegisteredAlgorithm) -> None:
    changing = {"stage": str(algorithm.stage), "folder": str(algorithm.folder)}
    session.execute(
        insert(AlgorithmRow)
        .values(
            name=algorithm.name,
            version=algorithm.version,
            manifest_sha256=algorithm.manifest_sha256,
            artifact_sha256=algorithm.artifact_sha256,
            **changing,
        )
        .on_conflict_do_update(index_elements=["name", "version"], set_=changing)
    )


def _event(
    action: AuditAction, name: str, version: str, actor: str, algorithm: RegisteredAlgorithm | None = None
) -> AuditEvent:
    details: dict[str, str | int | float | None] = {"name": name, "version": version}
    if algorithm is not None:
        details |= {"manifest_sha256": algorithm.manifest_sha256, "artifact_sha256": algorithm.artifact_sha256}
    return AuditEvent(action, actor, details=details)


def _registered(row: AlgorithmRow) -> RegisteredAlgorithm:
    return RegisteredAlgorithm(
        name=row.name,
        version=row.version,
        stage=AlgorithmStage(row.stage),
        folder=Path(row.folder),
        manifest_sha256=row.manifest_sha256,
        artifact_sha256=row.artifact_sha256,
    )
