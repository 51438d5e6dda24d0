"""Which version of an algorithm is given work: held, promoted, retired, rolled back, each with its audit row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import overread.commands.algorithms as commands
from inference.errors import InvalidAlgorithm
from overread import installation, promotion
from overread.caller import caller
from overread.installation import install
from overread.promotion import check_bytes
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm, Standing
from storage.errors import InvalidTransition, StandingChanged, UnknownRecord
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
    """Also after the bad version was retired by hand; a second rollback goes further back, never to the bad one."""
    for number in ("1", "2", "3"):
        run("add", version(number))
    name = _name(database)
    run("rollback", name)
    once = _stages(database)
    run("rollback", name)
    twice = _stages(database)
    with pytest.raises(UnknownRecord, match="no version before its last active one, but those that were rolled back"):
        run("rollback", name)
    run("promote", name, "3")
    run("retire", name, "3")
    run("rollback", name)

    assert once == {"1": "retired", "2": "active", "3": "retired"}
    assert twice == {"1": "active", "2": "retired", "3": "retired"}
    assert _stages(database) == twice
    with pytest.raises(UnknownRecord, match="no version before"):
        run("rollback", name)


def test_a_rollback_is_told_as_one(
    run: Run, database: Database, version: Callable[[str], str], registered: Callable[..., RegisteredAlgorithm]
) -> None:
    """Its audit row says that it was a rollback and whose, and `show` repeats it."""
    for number in ("1", "2"):
        registered(Path(version(number)), AlgorithmStage.ACTIVE)
    name = _name(database)

    run("rollback", name)

    newest = AuditReader(database).newest(1, "tester")[0]
    assert (newest.action, newest.details["decision"], newest.actor) == ("algorithm-promoted", "rollback", caller())
    assert f"rolled back to by {caller()}, in place of 2" in run("show", name, "1")


DECISIONS: dict[str, Callable[[PostgresAlgorithmCatalog, str, Standing], object]] = {
    "promote": lambda catalog, name, seen: catalog.promote(name, "2", "anna", seen=seen),
    "shadow": lambda catalog, name, seen: catalog.shadow(name, "2", "anna", seen=seen),
    "retire": lambda catalog, name, seen: catalog.retire(name, "2", "anna", seen=seen),
}


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize(
    ("meanwhile", "sentence"),
    [
        (("promote", "3"), r"its active version is 3 now \(it was 1 before\), and version 2 is registered"),
        (("retire", "1"), r"its active version is none now \(it was 1 before\), and version 2 is registered"),
        (("shadow", "2"), r"its active version is 1 now, and version 2 is shadow"),
    ],
    ids=["another is active", "none is active", "it stands elsewhere"],
)
def test_a_decision_on_what_is_no_longer_so_is_refused(
    database: Database, decision: str, meanwhile: tuple[str, str], sentence: str
) -> None:
    """The second of two people who decide at once is told what is active now; nothing changes, no row is written."""
    catalog = PostgresAlgorithmCatalog(database)
    for number in ("1", "2", "3"):
        stage = AlgorithmStage.ACTIVE if number == "1" else AlgorithmStage.REGISTERED
        catalog.add(RegisteredAlgorithm("tiny", number, stage, Path("/gone"), "a" * 64, number * 64), "tester")
    seen = catalog.standing("tiny")
    getattr(catalog, meanwhile[0])("tiny", meanwhile[1], "bert")
    stages, rows = _stages(database), _audited(database)

    with pytest.raises(StandingChanged, match=sentence):
        DECISIONS[decision](catalog, "tiny", seen)

    assert (_stages(database), _audited(database)) == (stages, rows)


@pytest.mark.parametrize("command", ["promote", "rollback", "shadow"])
def test_what_somebody_decides_while_a_command_reads_is_not_overwritten(
    run: Run,
    database: Database,
    version: Callable[[str], str],
    registered: Callable[..., RegisteredAlgorithm],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """What the command began with counts: files and acceptance sets take long to read and run."""
    for number in ("1", "2", "3"):
        registered(Path(version(number)), AlgorithmStage.REGISTERED if number == "3" else AlgorithmStage.ACTIVE)
    name = _name(database)

    def read_slowly(algorithm: RegisteredAlgorithm) -> None:
        check_bytes(algorithm)
        PostgresAlgorithmCatalog(database).retire(name, "2", "bert")

    monkeypatch.setattr(promotion if command == "promote" else commands, "check_bytes", read_slowly)
    with pytest.raises(StandingChanged, match=r"its active version is none now \(it was 2 before\)"):
        run(command, name, *([] if command == "rollback" else ["3"]))

    assert _stages(database) == {"1": "retired", "2": "retired", "3": "registered"}


def test_what_somebody_decides_while_a_version_is_tried_out_is_not_overwritten(
    run: Run, database: Database, version: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`add` promotes what it installed only if the name stands as it did when it began; the version is there, held."""
    run("add", version("1"))

    def install_slowly(*arguments: Any, **options: Any) -> RegisteredAlgorithm:
        PostgresAlgorithmCatalog(database).retire(_name(database), "1", "bert")
        return install(*arguments, **options)

    monkeypatch.setattr(installation, "install", install_slowly)
    with pytest.raises(StandingChanged, match=r"its active version is none now \(it was 1 before\)"):
        run("add", version("2"))

    assert _stages(database) == {"1": "retired", "2": "registered"}


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
