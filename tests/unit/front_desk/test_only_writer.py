"""Two commands never mix what they write into one folder."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from overread.cli import overread
from overread.only_writer import TargetInUse, only_writer

_HOLDER = """
    import pathlib, sys, time
    from overread.only_writer import only_writer
    with only_writer(pathlib.Path(sys.argv[1])):
        print("holds", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that writes the folder ``algorithm``."""
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), str(tmp_path / "algorithm")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    "command",
    [
        ["fetch", "lungs-radiograph", "--to", "algorithm"],
        ["import", "monai-bundle", "bundle", "algorithm"],
        ["import", "nnunet", "bundle", "algorithm"],
        ["import", "torch", "bundle/weights.pt", "algorithm", "--manifest", "bundle/algorithm.yaml"],
    ],
    ids=["fetch", "bundle", "nnunet", "torch"],
)
def test_the_second_writer_of_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: "subprocess.Popen[str]", command: list[str]
) -> None:
    """Before it fetches or writes anything, in a sentence that says what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "bundle").mkdir()
    for name in ("weights.pt", "algorithm.yaml"):
        (tmp_path / "bundle" / name).touch()

    done = CliRunner().invoke(overread, ["algorithms", *command])

    assert isinstance(done.exception, TargetInUse)
    assert "Another command writes algorithm at this moment; wait" in str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".algorithm.writing", "bundle"]


def test_a_killed_writer_stops_nobody(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    """Its file is there and its lock is not; the next one leaves nothing behind."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".algorithm.writing").exists()

    with only_writer(tmp_path / "algorithm"), pytest.raises(TargetInUse), only_writer(tmp_path / "algorithm"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_written_meanwhile(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    """Only the same place is kept."""
    with only_writer(tmp_path / "other"):
        (tmp_path / "other").mkdir()

    assert (tmp_path / "other").is_dir()
