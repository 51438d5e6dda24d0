"""Promoting a version: its bytes looked at, its acceptance set run, both in the audit trail, then given the work."""

from dataclasses import dataclass
from pathlib import Path

from inference.errors import InvalidAlgorithm
from overread.algorithm_archive import ACCEPTANCE_FOLDER
from overread.errors import AcceptanceFailed
from overread.settings import Settings
from storage.domain.algorithm import RegisteredAlgorithm, Standing
from storage.domain.audit_event import AuditOutcome
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import Database
from storage.postgres.study_catalog import PostgresStudyCatalog

_SHOWN = 3  # cases of a refusal; the audit row has all


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What is asked of a version before it is promoted: another set than its own, or none, for a reason."""

    folder: Path | None = None
    skipped_because: str = ""


@dataclass(frozen=True, slots=True)
class Promoted:
    """The version that had the work before, if any, and how many cases were passed."""

    before: RegisteredAlgorithm | None
    cases: int


def promote(
    settings: Settings,
    database: Database,
    algorithm: RegisteredAlgorithm,
    actor: str,
    acceptance: Acceptance,
    seen: Standing | None = None,
) -> Promoted:
    """Run the acceptance set, if there is one, and give the version the work of its name.

    ``seen`` is how the versions stood when it was decided, ``None`` for now.

    Raises:
        InvalidAlgorithm: the files, or those of its acceptance set, are not those that were added.
        InvalidAcceptanceSet: the set cannot be run.
        AcceptanceFailed: a case fell short; the message says by which number, and the version stands where it stood.
        DeviceFull: others' work fills the device, which says nothing of the version; nothing is recorded.
        StandingChanged: somebody else decided about the algorithm since this began.
        InvalidTransition: it is active already.
    """
    catalog = PostgresAlgorithmCatalog(database)
    seen = seen or catalog.standing(algorithm.name)  # before the run, which takes its time
    check_bytes(algorithm)
    folder = acceptance.folder or algorithm.folder / ACCEPTANCE_FOLDER
    details: dict[str, str | int | float | None] = {}
    if acceptance.skipped_because:
        details = {"acceptance_skipped_because": acceptance.skipped_because}
    elif acceptance.folder is not None or _has_its_set(catalog, algorithm, folder):
        details = _passed(settings, database, algorithm, actor, folder)
    before = catalog.promote(algorithm.name, algorithm.version, actor, details, seen=seen)
    return Promoted(before, int(details.get("acceptance_cases") or 0))


def _has_its_set(catalog: PostgresAlgorithmCatalog, algorithm: RegisteredAlgorithm, folder: Path) -> bool:
    """Whether it came with an acceptance set, which must still be the same. Raises InvalidAlgorithm."""
    from inference.acceptance.acceptance_set import acceptance_digest  # here: it needs an extra

    try:
        found = acceptance_digest(folder)
    except OSError:
        found = "unreadable"
    added = catalog.acceptance_sha256(algorithm.name, algorithm.version)
    if added and found != added:
        what = "is not the one that was added" if found else "is gone"
        raise InvalidAlgorithm(
            f"The acceptance set of {algorithm.name} {algorithm.version} {what}; add the version again with its set, "
            "or promote it with --acceptance or --skip-acceptance."
        )
    return bool(found)


def check_bytes(algorithm: RegisteredAlgorithm) -> None:
    """Equal digests are equal bytes, and those were tried out when they were added. Raises InvalidAlgorithm."""
    from inference.algorithms.folder import read_folder

    read = read_folder(algorithm.folder)
    if (read.manifest_sha256, read.artifact_sha256) != (algorithm.manifest_sha256, algorithm.artifact_sha256):
        raise InvalidAlgorithm(
            f"The files of {algorithm.name} {algorithm.version} are not those that were added; add it again."
        )


def _passed(
    settings: Settings, database: Database, algorithm: RegisteredAlgorithm, actor: str, folder: Path
) -> dict[str, str | int | float | None]:
    """Run the set and record how it went; what the row of the promotion says of it. Raises AcceptanceFailed."""
    # Imported here: it loads the runtime, which no other command about algorithms needs.
    from inference.acceptance.acceptance_set import read_acceptance_set
    from overread.acceptance import run_acceptance

    studies = PostgresStudyCatalog(database, ObjectStore(DataFolder(settings.data_dir)))
    run = run_acceptance(algorithm, read_acceptance_set(folder), settings.worker, studies.newest)
    outcome = AuditOutcome.MINOR_FAILURE if run.short else AuditOutcome.SUCCESS
    PostgresAlgorithmCatalog(database).record_acceptance(algorithm, actor, outcome, run.details())
    if run.short:
        words = "; ".join(one.words for one in run.short[:_SHOWN])
        more = f"; and {len(run.short) - _SHOWN} more" if len(run.short) > _SHOWN else ""
        raise AcceptanceFailed(
            f"{algorithm.name} {algorithm.version} falls short in {len(run.short)} of {len(run.outcomes)} cases of its "
            f"acceptance set ({words}{more}), so it stays {algorithm.stage}; mend it and add it as a new version."
        )
    return {"acceptance_sha256": run.sha256, "acceptance_cases": len(run.outcomes)}
