"""What an operator gets wrong is answered with one sentence that has the remedy, and an exit status that is not 0."""

import shutil
import socket
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import Product


def _assert_one_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    told = [line for line in done.stderr.splitlines() if line.startswith("overread: ")]
    assert done.returncode not in (0, 70), done.stderr
    assert len(told) == 1, done.stderr
    assert [part for part in parts if part not in told[0]] == [], told[0]
    assert "Traceback" not in done.stderr


def test_a_wrong_setting(product: Product) -> None:
    """A misspelt variable stops every command before anything is made."""
    product.settings["OVERREAD_LISTENER_PROT"] = "104"

    _assert_one_sentence(product.command("up"), "OVERREAD_LISTENER_PROT", "did you mean OVERREAD_LISTENER_PORT?")
    assert not product.data_dir.exists()


def test_a_busy_port(product: Product) -> None:
    """`overread up` does not run on without its listener: it names the port and ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        product.port = taken.getsockname()[1]
        done = product.command("up")

    assert done.returncode == 1
    assert f"Port {product.port} on 127.0.0.1 is already in use" in done.stderr
    assert "another [listener] port" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_database(product: Product) -> None:
    """A configured server that does not answer is named by its setting, by every command that needs it."""
    product.settings["OVERREAD_DATABASE_URL"] = "postgresql://nobody:hunter2@127.0.0.1:1/overread"

    for command in (["up"], ["status"], ["db", "check"], ["db", "upgrade"]):
        done = product.command(*command)
        _assert_one_sentence(done, "database", "[database] url")
        assert "hunter2" not in done.stderr


def test_an_old_schema(product: Product, empty_database_url: str) -> None:
    """A database without our tables is told by name of the command that mends it, and then it is mended."""
    product.settings["OVERREAD_DATABASE_URL"] = empty_database_url

    _assert_one_sentence(product.command("status"), "overread db upgrade")
    assert product.command("db", "upgrade").returncode == 0
    assert product.command("db", "check").returncode == 0
    assert product.command("status").returncode == 0


def test_a_missing_model_file(product: Product, bright_voxels: Path, tmp_path: Path) -> None:
    """A folder without its ONNX file, or with another one, is not added."""
    folder = tmp_path / "algorithm"
    shutil.copytree(bright_voxels, folder)
    (folder / "model.onnx").write_bytes(b"another file")
    _assert_one_sentence(product.command("algorithms", "add", str(folder)), "model.onnx", "is not the file")

    (folder / "model.onnx").unlink()
    _assert_one_sentence(product.command("algorithms", "add", str(folder)), "model.onnx")
    _assert_one_sentence(product.command("algorithms", "add", str(tmp_path / "nothing")), "algorithm.yaml")


def test_an_installed_model_file_that_was_changed(product: Product, bright_voxels: Path) -> None:
    """`overread algorithms verify` notices that the bytes are no longer those that were added."""
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    assert product.command("algorithms", "verify").returncode == 0
    (installed,) = (product.data_dir / "algorithms").rglob("model.onnx")
    with installed.open("ab") as model:
        model.write(b"\0")

    verified = product.command("algorithms", "verify")
    _assert_one_sentence(verified, "1 of 1 version did not pass: bright-voxels 1.0")
    line = verified.stderr.splitlines()[0]
    assert "model.onnx" in line
    assert "is not the file" in line


def test_a_second_product_on_one_folder(product: Product) -> None:
    """Two `overread up` on one data folder are refused; other commands join the one that runs."""
    product.start()
    other = Product(product.data_dir, port=0)

    _assert_one_sentence(other.command("up"), "already uses", "set another data_dir")
    assert other.command("status").returncode == 0


def test_a_data_folder_that_cannot_be_made(product: Product, tmp_path: Path) -> None:
    """A file where the folder should be is told by its path, and looking makes nothing."""
    product.data_dir = tmp_path / "file" / "data"
    (tmp_path / "file").write_text("")

    _assert_one_sentence(product.command("up"), str(product.data_dir), "set data_dir")
    _assert_one_sentence(product.command("status"), f"No Overread keeps its data in {product.data_dir}")


def test_looking_where_nothing_is(product: Product) -> None:
    """Commands that only look do not answer from an empty database of their own, and leave no folder behind."""
    for command in (["status"], ["explain", "1.2.3"], ["jobs", "list"], ["algorithms", "list"], ["db", "check"]):
        _assert_one_sentence(product.command(*command), "No Overread keeps its data", "OVERREAD_CONFIG")
    assert not product.data_dir.exists()


def test_a_database_that_is_made_is_named(product: Product) -> None:
    """Where nothing was, an account says which folder it goes to, and which settings say so; later it need not."""
    add = ("users", "add", "--role", "viewer", "--password-stdin")
    first = product.command(*add, "anna", typed="a good long password\n")
    second = product.command(*add, "bert", typed="a good long password\n")

    assert f"A new database is made in {product.data_dir} (settings: " in first.stderr
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert f"rows in the database under {product.data_dir}," in product.command("audit", "verify").stdout
