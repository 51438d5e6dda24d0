"""One trained run and its export, shared by the tests of the room."""

from pathlib import Path

import pytest

from tests.peers.trained_run import spot_run
from training.main import export


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated run."""
    return spot_run(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def exported(run: Path) -> Path:
    """Its algorithm folder."""
    export(run, run.parent / "algorithm")
    return run.parent / "algorithm"
