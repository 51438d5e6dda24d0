"""Which version of an algorithm is given work: held, promoted, retired, rolled back, each with its audit row."""

from collections.abc import Callable
from typing import Any

import pytest

from inference.errors import InvalidAlgorithm
from storage.domain.algorithm import AlgorithmStage
from storage.errors import InvalidTransition, UnknownRecord
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.audit_reading import AuditReader
from storage.postgres.engine import Database

Run = Callable[..., str]


def _stages(database: Database) -> dict[str, str]:
    return {known.version: known.stage for known in PostgresAlgorithmCatalog(database).all()}


def _name(database: Database) -> str:
    return PostgresAlgorithmCatalog(database).all()[0].name


def _audited(database: Database) -> list[tuple[Any, ...]]:
    records = AuditReader(database).newest(100, "tester")
    return [
        (record.action, record.details["version"], record.details.get("previous_version"))
        for record in records
        if record.action.startswith("algorithm-")
    ]


def test_a_held_version_gets_work_only_once_it_is_promoted(
    run: Run, database: Database, version: Callable[[str], str]
) -> None:
    """`add --hold` leaves the active version in its place; `promote` puts the new one there, audited."""
    run("add", version("1"))
    said = run("add", "--hold", version("2"))
    held = _stages(database)
    name = _name(database)
    promoted = run("promote", name, "2")

    assert "is registered" in said
    assert held == {"1": "active", "2": "registered"}
    assert "in place of 1" in promoted
    assert _stages(database) == {"1": "retired", "2": "active"}
    assert _audited(database) == [
        ("algorithm-added", "1", None),
        ("algorithm-promoted", "1", None),
        ("algorithm-added", "2", None),
        ("algorithm-retired", "1", None),
        ("algorithm-promoted", "2", "1"),
    ]


def test_a_promotion_names_old_and_new_bytes(run: Run, database: Database, version: Callable[[str], str]) -> None:
    """The audit row holds the digests of the model that comes and of the one that goes."""
    run("add", version("1"))
    run("add", version("2"))
    catalog = PostgresAlgorithmCatalog(database)
    old, new = catalog.find(_name(database), "1"), catalog.find(_name(database), "2")

    details = AuditReader(database).newest(1, "tester")[0].details

    assert details == {
        "name": new.name,
        "version": "2",
        "manifest_sha256": new.manifest_sha256,
        "artifact_sha256": new.artifact_sha256,
        "previous_version": "1",
        "previous_manifest_sha256": old.manifest_sha256,
        "previous_artifact_sha256": old.artifact_sha256,
    }


def test_a_rollback_returns_to_the_version_before(run: Run, database: Database, version: Callable[[str], str]) -> None:
    """Also after the bad version was retired by hand; a second rollback returns to it."""
    for number in ("1", "2", "3"):
        run("add", version(number))
    name = _name(database)
    run("rollback", name)
    once = _stages(database)
    run("rollback", name)
    twice = _stages(database)
    run("retire", name, "3")
    run("rollback", name)

    assert once == {"1": "retired", "2": "active", "3": "retired"}
    assert twice == {"1": "retired", "2": "retired", "3": "active"}
    assert _stages(database) == once


def test_a_retired_name_has_no_version_that_is_given_work(
    run: Run, database: Database, version: Callable[[str], str]
) -> None:
    """Retiring the active version puts nothing in its place; doing it again is refused."""
    run("add", version("1"))
    name = _name(database)
    run("retire", name, "1")

    assert PostgresAlgorithmCatalog(database).all(AlgorithmStage.ACTIVE) == ()
    with pytest.raises(InvalidTransition, match="retired already"):
        run("retire", name, "1")


def test_what_cannot_be_promoted_says_why(run: Run, database: Database, version: Callable[[str], str]) -> None:
    """An unknown version, the active one, and a rollback without a past are refused, and no row is written."""
    run("add", version("1"))
    name = _name(database)
    before = _audited(database)

    with pytest.raises(UnknownRecord, match="not installed"):
        run("promote", name, "9")
    with pytest.raises(InvalidTransition, match="active already"):
        run("promote", name, "1")
    with pytest.raises(UnknownRecord, match="no version before"):
        run("rollback", name)
    assert _audited(database) == before


def test_a_version_whose_bytes_changed_is_not_promoted(
    run: Run, database: Database, version: Callable[[str], str]
) -> None:
    """A model that the workers would refuse must not replace one that works."""
    run("add", version("1"))
    run("add", "--hold", version("2"))
    name = _name(database)
    (PostgresAlgorithmCatalog(database).find(name, "2").folder / "model.onnx").write_bytes(b"swapped")

    with pytest.raises(InvalidAlgorithm):
        run("promote", name, "2")
    assert _stages(database) == {"1": "active", "2": "registered"}
