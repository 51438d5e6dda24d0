"""A version is promoted only if it gets its acceptance set right; what fell short is told and written down."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import yaml

from inference.acceptance.acceptance_set import read_acceptance_set
from inference.errors import InvalidAcceptanceSet, InvalidAlgorithm
from overread.errors import AcceptanceFailed
from storage.domain.algorithm import RegisteredAlgorithm
from storage.domain.algorithm_history import more_of, what_happened
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.audit_reading import AuditReader
from storage.postgres.engine import Database
from tests.peers.analysis import analysed
from tests.peers.hostile_networks import endless_loop
from tests.peers.synthetic_series import kept, slice_headers, with_pixels
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm

Run = Callable[..., str]
SLICES, SIZE = 6, (8, 9)


def _images(folder: Path) -> tuple[list[Path], dict[str, np.ndarray]]:
    """A head of which a block is bright, and the block as a mask per image."""
    headers = slice_headers(SLICES, size=SIZE)
    values = np.zeros((SLICES, *SIZE), np.uint16)
    values[1:4, 2:6, 2:6] = 200
    folder.mkdir(parents=True)
    files = [one.path for one in kept(with_pixels(headers, values), folder)]
    return files, {str(ds.SOPInstanceUID): plane > 0 for ds, plane in zip(headers, values, strict=True)}


def _set(folder: Path, *cases: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acceptance.yaml").write_text(yaml.safe_dump({"cases": list(cases)}))
    return folder


def _algorithm(tmp_path: Path, version: str = "1.0", threshold: float = 99.5) -> Path:
    return write_tiny_algorithm(
        tmp_path / f"version-{version}", bright_network(threshold), identity={"version": version}
    )


def _audited(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    records = AuditReader(database).newest(100, "tester")
    return [(one.action, str(one.outcome), one.details) for one in records if one.action.startswith("algorithm-")]


def _stages(database: Database) -> dict[str, str]:
    return {known.version: known.stage for known in PostgresAlgorithmCatalog(database).all()}


def test_a_version_that_gets_its_cases_right_is_promoted(run: Run, database: Database, tmp_path: Path) -> None:
    """Labels, a mask as .npz, a mask as DICOM Segmentation and a refusal; every number stands in the audit trail."""
    folder = _algorithm(tmp_path)
    files, mask = _images(folder / "acceptance" / "head")
    np.savez(folder / "acceptance" / "block.npz", **mask)
    (reference,) = (one for one in analysed(files, folder).evidence if one.role == "segmentation")
    (folder / "acceptance" / "block.dcm").write_bytes(reference.part10)
    (folder / "acceptance" / "other").mkdir()
    kept(slice_headers(SLICES, edit=lambda _, ds: setattr(ds, "Modality", "CT")), folder / "acceptance" / "other")
    _set(
        folder / "acceptance",
        {"name": "labels", "series": "head", "labels": ["Brain"]},
        {"name": "npz", "series": "head", "masks": [{"label": "Brain", "file": "block.npz", "minimum_dice": 0.99}]},
        {"name": "seg", "series": "head", "masks": [{"label": "Brain", "file": "block.dcm", "minimum_dice": 1}]},
        {"name": "ct", "series": "other", "refused": "modality-not-accepted"},
    )

    said = run("add", str(folder))

    assert "is active" in said
    assert "passed 4 cases" in said
    added, tried, promoted = _audited(database)
    assert (added[0], tried[0], promoted[0]) == ("algorithm-added", "algorithm-acceptance-run", "algorithm-promoted")
    assert tried[1] == "success"
    assert (tried[2]["cases"], tried[2]["passed"]) == (4, 4)
    assert "npz: Brain Dice 1.0000, at least 0.99" in tried[2]["numbers"]
    assert "ct: refused as modality-not-accepted" in tried[2]["numbers"]
    assert promoted[2]["acceptance_sha256"] == tried[2]["acceptance_sha256"]
    assert promoted[2]["acceptance_cases"] == 4


def test_a_set_that_was_taken_away_or_changed_is_missed(run: Run, database: Database, tmp_path: Path) -> None:
    """The version is not promoted as if it had come without one; adding it again with its set puts the set back."""
    folder = _algorithm(tmp_path)
    _images(folder / "acceptance" / "head")
    _set(folder / "acceptance", {"name": "head", "series": "head", "labels": ["Brain"]})
    run("add", "--hold", str(folder))
    installed = PostgresAlgorithmCatalog(database).find("tiny", "1.0").folder / "acceptance"
    ((_, _, added),) = _audited(database)
    assert added["acceptance_sha256"] == read_acceptance_set(folder / "acceptance").sha256
    assert "with an acceptance set" in run("show", "tiny")

    case = installed / "acceptance.yaml"
    case.write_text(case.read_text().replace("Brain", "Spleen"))
    with pytest.raises(InvalidAlgorithm, match=r"tiny 1\.0 is not the one that was added; add"):
        run("promote", "tiny", "1.0")
    shutil.rmtree(installed)
    with pytest.raises(InvalidAlgorithm, match=r"tiny 1\.0 is gone; add"):
        run("promote", "tiny", "1.0")
    assert _stages(database) == {"1.0": "registered"}

    run("add", "--hold", str(folder))

    assert "passed 1 case of" in run("promote", "tiny", "1.0")
    shutil.rmtree(installed)
    run("retire", "tiny", "1.0")
    assert "is active" in run("promote", "tiny", "1.0", "--skip-acceptance", "shown elsewhere")


def test_a_version_that_falls_short_says_by_which_number(run: Run, database: Database, tmp_path: Path) -> None:
    """It stays where it stood, the active version stays too, and the run is an audit row that failed."""
    run("add", str(_algorithm(tmp_path)))
    files, mask = _images(tmp_path / "set" / "head")
    half = {uid: plane & (np.arange(plane.shape[1]) < 4) for uid, plane in mask.items()}
    np.savez(tmp_path / "set" / "half.npz", **half)
    case = {"name": "half", "series": "head", "masks": [{"label": "Brain", "file": "half.npz", "minimum_dice": 0.9}]}
    acceptance = _set(tmp_path / "set", case)
    run("add", "--hold", str(_algorithm(tmp_path, "2.0", 98)))

    with pytest.raises(AcceptanceFailed, match=r"1 of 1 cases .*half: Brain Dice 0\.6667, at least 0\.9.*registered"):
        run("promote", "tiny", "2.0", "--acceptance", str(acceptance))

    assert _stages(database) == {"1.0": "active", "2.0": "registered"}
    action, outcome, details = _audited(database)[-1]
    assert (action, outcome, details["passed"]) == ("algorithm-acceptance-run", "minor-failure", 0)
    assert len(files) == SLICES


def test_a_network_without_end_falls_short(
    run: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case is given to a process of its own, with the limits of a worker, so that the command comes to its end."""
    monkeypatch.setenv("OVERREAD_WORKER_TIME_LIMIT_S", "2")
    folder = write_tiny_algorithm(tmp_path / "endless", endless_loop())
    _images(folder / "acceptance" / "head")
    cases = ({"name": name, "series": "head", "labels": []} for name in ("one", "two"))
    _set(folder / "acceptance", *cases)

    with pytest.raises(AcceptanceFailed, match=r"2 of 2 cases .*one: not analysed \(analysis-too-slow\); two: not"):
        run("add", str(folder))

    assert _stages(database) == {"1.0": "registered"}


def test_adding_a_version_that_falls_short_holds_it(run: Run, database: Database, tmp_path: Path) -> None:
    """`add` promotes, so it runs the set too; the version is there for another look, and is given no work."""
    folder = _algorithm(tmp_path)
    _images(folder / "acceptance" / "head")
    _set(folder / "acceptance", {"name": "nothing", "series": "head", "labels": []})

    with pytest.raises(AcceptanceFailed, match="finds Brain, expected nothing"):
        run("add", str(folder))

    assert _stages(database) == {"1.0": "registered"}


def test_a_set_can_be_skipped_for_a_reason(run: Run, database: Database, tmp_path: Path) -> None:
    """The audit row of the promotion says why, and `show` repeats it."""
    folder = _algorithm(tmp_path)
    _images(folder / "acceptance" / "head")
    _set(folder / "acceptance", {"name": "nothing", "series": "head", "labels": []})
    run("add", "--hold", str(folder))

    run("promote", "tiny", "1.0", "--skip-acceptance", "The set is being mended.")

    assert _stages(database) == {"1.0": "active"}
    assert _audited(database)[-1][2]["acceptance_skipped_because"] == "The set is being mended."
    assert "skipped, because: The set is being mended." in run("show", "tiny")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501], ids=["empty", "blank", "endless"])
def test_a_set_is_not_skipped_without_a_reason(
    run: Run,
    database: Database,
    version: Callable[[str], str],
    registered: Callable[..., RegisteredAlgorithm],
    reason: str,
) -> None:
    """What the audit row would say has to say something, also where there is no set to skip."""
    registered(Path(version("1.0")))

    with pytest.raises(click.UsageError, match="needs a reason of at most 500 characters"):
        run("promote", "tiny", "1.0", "--skip-acceptance", reason)

    assert _stages(database) == {"1.0": "registered"}


def test_a_study_that_was_received_is_a_case(run: Run, database: Database, tmp_path: Path) -> None:
    """One that is not here is told, and nothing is promoted."""
    run("add", "--hold", str(_algorithm(tmp_path)))
    acceptance = _set(tmp_path / "set", {"name": "one", "study": "1.2.3", "labels": []})

    with pytest.raises(Exception, match=r"No study 1\.2\.3 was received completely here"):
        run("promote", "tiny", "1.0", "--acceptance", str(acceptance))

    assert _stages(database) == {"1.0": "registered"}


def test_a_label_that_the_algorithm_does_not_have_is_told(run: Run, tmp_path: Path) -> None:
    """A misspelt label must not read as a case that is right."""
    run("add", "--hold", str(_algorithm(tmp_path)))
    _images(tmp_path / "set" / "head")
    acceptance = _set(tmp_path / "set", {"name": "one", "series": "head", "labels": ["brain"]})

    with pytest.raises(InvalidAcceptanceSet, match=r"'brain', which tiny 1\.0 does not look for; it looks for Brain"):
        run("promote", "tiny", "1.0", "--acceptance", str(acceptance))


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"name": "a", "series": "x", "study": "1.2", "labels": []}, "either series or study"),
        ({"name": "a", "series": "x"}, "expects either refused"),
        ({"name": "a", "series": "x", "labels": [], "refused": "gap"}, "expects either refused"),
        ({"name": "a", "series": "../x", "labels": []}, "beside acceptance.yaml"),
        ({"name": "a", "series": "/x", "labels": []}, "beside acceptance.yaml"),
        (
            {"name": "a", "series": "x", "classes": [{"label": "A", "probability": [0.9, 0.1]}]},
            "least and the greatest",
        ),
        ({"name": "a", "series": "x", "labels": [], "dice": 1}, "there is no such key"),
    ],
)
def test_a_set_that_says_too_little_or_too_much_is_refused(tmp_path: Path, case: dict[str, Any], sentence: str) -> None:
    """The message names the place and the rule."""
    with pytest.raises(InvalidAcceptanceSet, match=sentence):
        read_acceptance_set(_set(tmp_path / "set", case))


def test_the_digest_of_a_set_covers_its_images(tmp_path: Path) -> None:
    """A set with other images or references is another set."""
    folder = _set(tmp_path / "set", {"name": "a", "series": "x", "labels": []})
    before = read_acceptance_set(folder).sha256
    (folder / "x").mkdir()
    (folder / "x" / "one.dcm").write_bytes(b"one")

    assert read_acceptance_set(folder).sha256 != before


def test_show_tells_everything_of_a_version(run: Run, database: Database, tmp_path: Path) -> None:
    """Digests, manifest, card, history with actors, counts of results; as JSON the same facts."""
    run("add", str(_algorithm(tmp_path)))
    run("add", "--hold", str(_algorithm(tmp_path, "2.0", 98)))
    run("shadow", "tiny", "2.0")

    told = run("show", "tiny")
    facts = json.loads(run("show", "tiny", "2.0", "--json"))

    assert "tiny 1.0 is active." in told
    assert "promoted by" in told
    for event in PostgresAlgorithmCatalog(database).history("tiny", "1.0"):
        assert f"{what_happened(event)} by {event['actor']}" in told
        assert more_of(event) in told
    assert "Marks bright voxels" in told
    assert "# tiny" in told
    known = PostgresAlgorithmCatalog(database).find("tiny", "2.0")
    assert (facts["stage"], facts["artifact_sha256"]) == ("shadow", known.artifact_sha256)
    assert [event["action"] for event in facts["history"]] == ["algorithm-added", "algorithm-shadowed"]
    assert facts["results"]["shadow"] == {"analysed": 0, "not_analysed": 0, "failed": 0, "open": 0}
    assert facts["manifest"]["identity"]["version"] == "2.0"
