"""Adding an algorithm: what is copied, and what a second time does."""

import hashlib
from pathlib import Path

import pytest
import yaml

from inference.algorithms.folder import verify
from inference.errors import InvalidAlgorithm
from overread.installation import install
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm


@pytest.fixture
def catalog(database_url: str):
    """The catalogue over a fresh database."""
    database = open_database(database_url, "tests")
    yield PostgresAlgorithmCatalog(database)
    database.close()


def test_only_what_was_verified_is_copied(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """Links, devices and folders beside the algorithm's own files are left where they are."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    (folder / "everything").symlink_to("/dev/zero")
    (folder / "more").mkdir()

    added = install(folder, tmp_path / "data", catalog, "tester")

    assert sorted(path.name for path in added.folder.iterdir()) == ["algorithm.yaml", "card.md", "model.onnx"]
    assert verify(added.folder) == verify(folder)


def test_every_member_is_copied(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """An ensemble's other networks come along, and the catalogue has the digest that covers them."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    content = bright_network(50.0)
    (folder / "second.onnx").write_bytes(content)
    manifest = yaml.safe_load((folder / "algorithm.yaml").read_text())
    manifest["artifact"]["members"] = [{"file": "second.onnx", "sha256": hashlib.sha256(content).hexdigest()}]
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(manifest))

    added = install(folder, tmp_path / "data", catalog, "tester")

    assert (added.folder / "second.onnx").read_bytes() == content
    assert added.artifact_sha256 == verify(folder).artifact_sha256 != manifest["artifact"]["sha256"]


def test_adding_again_mends_a_damaged_copy(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """The advice to add an algorithm again after a failed check helps, and makes no second version."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    added = install(folder, tmp_path / "data", catalog, "tester")
    (added.folder / "model.onnx").write_bytes(b"damaged")

    assert install(folder, tmp_path / "data", catalog, "tester") == added
    assert verify(added.folder) == verify(folder)
    assert catalog.all() == (added,)


def test_a_model_that_is_no_regular_file_is_refused(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """A device or a pipe in the model's place is not read."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("/dev/zero")

    with pytest.raises(InvalidAlgorithm):
        install(folder, tmp_path / "data", catalog, "tester")
