"""Adding an algorithm: what is copied, and what a second time does."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import helper, numpy_helper
from sqlalchemy import text

from inference.algorithms.folder import verify
from inference.algorithms.golden import write_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.manifest import read_manifest
from inference.algorithms.trial import TrialLimits
from inference.errors import InvalidAlgorithm
from overread.installation import install
from overread.scratch import scratch_folder
from storage.errors import StorageError
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.engine import open_database
from tests.peers.hostile_networks import endless_loop, memory_eater
from tests.peers.tiny_algorithm import bright_network, network, write_tiny_algorithm


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


@pytest.mark.parametrize("hold", [False, True])
def test_adding_again_mends_a_damaged_copy(tmp_path: Path, catalog: PostgresAlgorithmCatalog, hold: bool) -> None:
    """The advice to add an algorithm again after a failed check helps, makes no second version, and is an audit row."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    added = install(folder, tmp_path / "data", catalog, "tester", hold=hold)
    (added.folder / "model.onnx").write_bytes(b"damaged")

    assert install(folder, tmp_path / "data", catalog, "mender", hold=hold) == added
    assert verify(added.folder) == verify(folder)
    assert catalog.all() == (added,)
    rows = [row for row in catalog.history("tiny", "1.0") if row["action"] == "algorithm-added"]
    assert [(row["actor"], row["details"].get("again")) for row in rows] == [
        ("tester", None),
        ("mender", "copy restored"),
    ]
    install(folder, tmp_path / "data", catalog, "tester", hold=hold)
    assert len(catalog.history("tiny", "1.0")) == (2 if hold else 3)


def test_a_model_that_is_no_regular_file_is_refused(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """A device or a pipe in the model's place is not read."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("/dev/zero")

    with pytest.raises(InvalidAlgorithm):
        install(folder, tmp_path / "data", catalog, "tester")


def _left(data: Path) -> list[str]:
    home = data / "algorithms"
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_is_installed_as_its_folder_would_be(
    tmp_path: Path, catalog: PostgresAlgorithmCatalog, suffix: str
) -> None:
    """The same bytes make the same version, and nothing of the unpacking stays."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    shutil.make_archive(str(tmp_path / "packed"), {".zip": "zip", ".tar.gz": "gztar"}[suffix], folder)

    added = install(tmp_path / f"packed{suffix}", tmp_path / "data", catalog, "tester")

    assert added == install(folder, tmp_path / "data", catalog, "tester")
    assert [name for name in _left(tmp_path / "data") if "/" not in name] == ["tiny"]


def test_a_refused_algorithm_leaves_nothing(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """A network that eats memory, one that never ends, one of other bytes under a known version: no file, no row."""
    data = tmp_path / "data"
    first = install(write_tiny_algorithm(tmp_path / "first"), data, catalog, "tester")
    before = _left(data)
    pair = GoldenVolume(np.zeros((2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32))
    for name, model in (("hungry", memory_eater()), ("endless", endless_loop())):
        folder = write_tiny_algorithm(tmp_path / name, model, identity={"name": name})
        write_golden(folder, pair)
        with pytest.raises(InvalidAlgorithm):
            install(folder, data, catalog, "tester", limits=TrialLimits(seconds=12))
    changed = write_tiny_algorithm(tmp_path / "changed", bright_network(1))
    with pytest.raises(StorageError, match="already registered with other bytes"):
        install(changed, data, catalog, "tester")

    assert _left(data) == before
    assert catalog.all() == (first,)


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    """A write that fails in the middle, as on a full disk, ends with one sentence; no file and no row stay."""
    weights = np.zeros(300_000, np.float32)
    nodes = [
        helper.make_node("ReduceSum", ["weights"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    folder = write_tiny_algorithm(tmp_path / "large", network(nodes, [numpy_helper.from_array(weights, "weights")]))
    script = (
        "import resource, signal, sys\n"
        "from overread.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        f"sys.argv = ['overread', 'algorithms', 'add', {str(folder)!r}]\n"
        "sys.exit(main())\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")},
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(tmp_path / "data"),
        "OVERREAD_DATABASE_URL": database_url,
    }

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)

    assert done.returncode == 1
    assert "File too large); nothing was added" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert _left(tmp_path / "data") == []
    database = open_database(database_url, "tests")
    assert PostgresAlgorithmCatalog(database).all() == ()
    database.close()


def test_a_database_that_refuses_leaves_the_copy_that_was_there(tmp_path: Path, database_url: str) -> None:
    """A damaged copy is exchanged only together with its row; when the row cannot be written, nothing has changed."""
    database = open_database(database_url, "tests")
    catalog = PostgresAlgorithmCatalog(database)
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    added = install(folder, tmp_path / "data", catalog, "tester", hold=True)
    (added.folder / "model.onnx").write_bytes(b"damaged")
    with database.transaction() as session:
        session.execute(text("ALTER TABLE audit_event RENAME TO away"))

    with pytest.raises(StorageError, match="nothing was written"):
        install(folder, tmp_path / "data", catalog, "tester")

    assert (added.folder / "model.onnx").read_bytes() == b"damaged"
    assert [name for name in _left(tmp_path / "data") if name.startswith(".")] == []
    database.close()


def test_an_acceptance_set_is_installed_with_its_algorithm(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """Its plain files are copied; a link in it is not followed."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    (folder / "acceptance" / "case").mkdir(parents=True)
    (folder / "acceptance" / "case" / "one.dcm").write_bytes(b"dicom")
    (folder / "acceptance" / "case" / "two.dcm").symlink_to("/etc/passwd")

    added = install(folder, tmp_path / "data", catalog, "tester")

    assert [path.name for path in (added.folder / "acceptance").rglob("*")] == ["case", "one.dcm"]


@pytest.mark.parametrize("name", ["card.md", "acceptance"])
def test_what_a_link_leads_to_is_not_copied(tmp_path: Path, catalog: PostgresAlgorithmCatalog, name: str) -> None:
    """A folder of strangers may hold links: a card to a file with secrets, which is shown, or a set to a whole disk."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("secret")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere / "secret" if name == "card.md" else elsewhere)

    with pytest.raises(InvalidAlgorithm, match=rf"{name} is a link; put the .* itself there"):
        install(folder, tmp_path / "data", catalog, "tester")

    assert _left(tmp_path / "data") == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_refusal_names_what_was_added(tmp_path: Path, catalog: PostgresAlgorithmCatalog, packed: bool) -> None:
    """Not the copy of it, which is gone when the sentence is read."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    (folder / "golden.npz").write_bytes(b"no pair")
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    source = tmp_path / "packed.zip" if packed else folder

    with pytest.raises(InvalidAlgorithm) as refused:
        install(source, tmp_path / "data", catalog, "tester")

    assert str(refused.value).startswith(f"{source}/golden.npz holds no golden pair")


def _incoming(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "algorithms").glob(".incoming-*"))


def test_what_a_killed_command_left_is_removed_and_what_runs_is_not(
    run: Callable[..., str], environment: dict[str, str | None], tmp_path: Path
) -> None:
    """The next `add` tells by a lock which folders are in use: that of a command that was killed goes."""
    hanging = write_tiny_algorithm(tmp_path / "endless", endless_loop(), identity={"name": "endless"})
    write_golden(hanging, GoldenVolume(np.zeros((2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)))
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    command = [sys.executable, "-m", "overread", "algorithms", "add", str(hanging)]
    adding = subprocess.Popen(command, env=variables, start_new_session=True)
    try:
        while not (held := list((tmp_path / "data" / "algorithms").glob(".incoming-*/copy/golden.npz"))):
            assert adding.poll() is None
            time.sleep(0.05)
        left = held[0].parents[1].name
        run("add", str(write_tiny_algorithm(tmp_path / "one")))
        while_it_ran = _incoming(tmp_path / "data")
    finally:
        adding.kill()
        adding.wait()
    after_its_death = _incoming(tmp_path / "data")
    run("add", str(write_tiny_algorithm(tmp_path / "one")))

    assert while_it_ran == after_its_death == [left]
    assert _incoming(tmp_path / "data") == []


def test_only_old_folders_without_a_lock_are_removed(tmp_path: Path) -> None:
    """One of this moment is being made by another process; one of days ago was left by an older release."""
    for name in ("new", "old"):
        (tmp_path / f".incoming-{name}").mkdir()
    days_ago = time.time() - 2 * 86_400
    os.utime(tmp_path / ".incoming-old", (days_ago, days_ago))

    with scratch_folder(tmp_path, ".incoming-"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [".incoming-new"]


def test_a_copy_without_a_row_is_tried_out(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """A process that was killed between the copy and its row leaves a copy that no audit row is about."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    write_golden(folder, GoldenVolume(np.full((2, 2, 2), 200, np.float32), np.ones((1, 2, 2, 2), np.float32)))
    digest = read_manifest(folder).sha256[:12]
    left = tmp_path / "data" / "algorithms" / "tiny" / f"1.0-{digest}"
    shutil.copytree(folder, left)
    (left / "acceptance").mkdir()

    install(folder, tmp_path / "data", catalog, "tester", hold=True)

    (added,) = catalog.history("tiny", "1.0")
    assert "Dice 1.0000" in added["details"]["golden"]
    assert not (left / "acceptance").exists()


def test_adding_again_mends_a_damaged_golden_pair(tmp_path: Path, catalog: PostgresAlgorithmCatalog) -> None:
    """What `verify` advises works: the pair is whole again, and the history says that a copy was restored."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    write_golden(folder, GoldenVolume(np.full((2, 2, 2), 200, np.float32), np.ones((1, 2, 2, 2), np.float32)))
    pair = install(folder, tmp_path / "data", catalog, "tester").folder / "golden.npz"
    pair.chmod(0o600)
    pair.write_bytes(b"cut")

    install(folder, tmp_path / "data", catalog, "tester")

    assert pair.read_bytes() == (folder / "golden.npz").read_bytes()
    assert len(catalog.history("tiny", "1.0")) > 1
