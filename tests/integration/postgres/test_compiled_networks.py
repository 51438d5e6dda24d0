"""What devices compiled of networks is removed with the last work of the algorithm."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.domain.algorithm import AlgorithmStage
from storage.domain.job import Reason
from storage.housekeeping.forget_compiled import forget_compiled
from storage.objects.layout import COMPILED_NETWORKS

_DIGESTS = {"active": "1" * 64, "shadow": "2" * 64, "registered": "3" * 64, "retired": "4" * 64, "gone": "5" * 64}


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A folder of compiled networks with a file in each."""
    root = tmp_path / "kept" / COMPILED_NETWORKS
    for name in (*_DIGESTS.values(), "notes"):
        (root / name / "0").mkdir(parents=True)
        (root / name / "0" / "engine").write_bytes(b"compiled")
    return root


def _there(root: Path) -> set[str]:
    return {one.name for one in root.iterdir()}


def _install(hospital: Any, *stages: str) -> None:
    for stage in stages:
        version = replace(hospital.registered("lungs", stage), artifact_sha256=_DIGESTS[stage])
        hospital.algorithms.add(version, "tester")
        if stage in ("active", "retired"):
            hospital.algorithms.promote("lungs", stage, "tester")
        if stage == "shadow":
            hospital.algorithms.shadow("lungs", stage, "tester")


def test_only_what_no_version_has_work_for_is_removed(hospital: Any, compiled: Path) -> None:
    """A retired version and one that is not known lose theirs; what is no digest is not ours to remove."""
    _install(hospital, "retired", "active", "shadow", "registered")

    assert forget_compiled(hospital.database, compiled.parent) == 2
    assert _there(compiled) == {*(_DIGESTS[one] for one in ("active", "shadow", "registered")), "notes"}
    assert forget_compiled(hospital.database, compiled.parent) == 0


def test_a_retired_version_keeps_it_while_it_has_a_job(hospital: Any, compiled: Path) -> None:
    """Its jobs are still done, and would each wait for minutes while the network is compiled again."""
    _install(hospital, "retired")
    hospital.stable_study()
    _install(hospital, "active")
    assert hospital.algorithms.find("lungs", "retired").stage is AlgorithmStage.RETIRED

    forget_compiled(hospital.database, compiled.parent)
    assert _DIGESTS["retired"] in _there(compiled)

    hospital.queue.fail(hospital.claimed(), Reason("test", "For the test."))
    forget_compiled(hospital.database, compiled.parent)
    assert _DIGESTS["retired"] not in _there(compiled)


def test_nothing_is_compiled_where_there_is_no_device(hospital: Any, tmp_path: Path) -> None:
    """Without the folder there is nothing to do, and none is made."""
    assert forget_compiled(hospital.database, tmp_path / "empty") == 0
    assert not (tmp_path / "empty").exists()
