"""`overread algorithms …` on a data folder and a database of the test's own."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inference.algorithms.folder import read_folder
from overread.cli import overread
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import Database, open_database
from tests.peers.tiny_algorithm import write_tiny_algorithm

Run = Callable[..., str]


@pytest.fixture
def database(service_url: str) -> Iterator[Database]:
    """The service's database."""
    database = open_database(service_url, "tests")
    yield database
    database.close()


@pytest.fixture
def environment(service_url: str, tmp_path: Path) -> dict[str, str | None]:
    """What the command is told by its environment; ``None`` takes a variable away."""
    return {name: None for name in os.environ if name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(tmp_path / "data"),
        "OVERREAD_DATABASE_URL": service_url,
    }


@pytest.fixture
def run(environment: dict[str, str | None]) -> Run:
    """Runs `overread algorithms …` and returns what it prints; errors come as they are."""

    def run_one(*arguments: str) -> str:
        command = ["algorithms", *arguments]
        done = CliRunner().invoke(overread, command, env=environment, standalone_mode=False, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run_one


@pytest.fixture
def attempt(environment: dict[str, str | None]) -> Callable[..., Result]:
    """Runs `overread algorithms …` and returns what it prints where, and the error that ended it, if one did."""
    return lambda *arguments: CliRunner().invoke(overread, ["algorithms", *arguments], env=environment)


@pytest.fixture
def version(tmp_path: Path) -> Callable[[str], str]:
    """Writes a version of the same small algorithm and returns its folder."""

    def write(number: str) -> str:
        return str(write_tiny_algorithm(tmp_path / f"version-{number}", identity={"version": number}))

    return write


@pytest.fixture
def registered(database: Database) -> Callable[..., RegisteredAlgorithm]:
    """Registers a folder where it lies, which costs no first load as `add` does."""

    def register(folder: Path, stage: AlgorithmStage = AlgorithmStage.REGISTERED) -> RegisteredAlgorithm:
        read = read_folder(folder)
        who = read.manifest.identity
        algorithm = RegisteredAlgorithm(
            who.name, who.version, stage, folder, read.manifest_sha256, read.artifact_sha256
        )
        PostgresAlgorithmCatalog(database).add(algorithm, "tester")
        return algorithm

    return register
