"""What can go wrong while a package is fetched: each ends in one sentence, and the folder is as it was before."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from overread.fetch import PackageUnavailable, fetch
from overread.packages import PackageFile
from overread.scratch import scratch_folder
from tests.peers.small_disk import run_on_small_disk

NAME = "pinned-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: pinned\nVersion: 1.0\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the package client takes its packages from, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("pinned-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("pinned-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("pinned-1.0.dist-info/RECORD", "")
        wheel.writestr("weights", os.urandom(2**18))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _pinned(folder: Path) -> PackageFile:
    return PackageFile("pinned", "1.0", NAME, hashlib.sha256((folder / NAME).read_bytes()).hexdigest())


def test_the_pinned_file_takes_the_place_of_a_damaged_one(tmp_path: Path, index: Path) -> None:
    """What is in the cache is judged by its digest, and nothing but the file is there afterwards."""
    cache = tmp_path / "cache"
    (cache / "fetch-tools").mkdir(parents=True)
    os.utime(cache / "fetch-tools", (0, 0))
    (cache / NAME).write_bytes(b"half")

    path = fetch(_pinned(index), cache)

    assert path.read_bytes() == (index / NAME).read_bytes()
    assert sorted(cache.iterdir()) == [cache / "fetch-tools", path]


@pytest.mark.parametrize("kept", [-1, 1000], ids=["another file", "half a file"])
def test_another_file_than_the_pinned_one_is_told_as_such(tmp_path: Path, index: Path, kept: int) -> None:
    """The sentence does not send anybody to look after the network, and the file is not kept."""
    package = _pinned(index)
    content = (index / NAME).read_bytes()
    (index / NAME).write_bytes(content[:kept] if kept > 0 else content + b"more")

    with pytest.raises(PackageUnavailable, match=f"another file than the pinned {NAME}, or only a part") as error:
        fetch(package, tmp_path / "cache")

    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("mounted", [True, False], ids=["small disk", "no blocks"])
def test_a_full_disk_is_told_as_such(tmp_path: Path, index: Path, mounted: bool) -> None:
    """The sentence says that there is no space, not that there is no network, and nothing is left on the disk."""
    package, place = _pinned(index), tmp_path / "cache"
    place.mkdir()
    program = """
        import os, pathlib, sys
        from overread.fetch import fetch
        from overread.packages import PackageFile
        place = pathlib.Path(sys.argv[1])
        try:
            fetch(PackageFile("pinned", "1.0", *sys.argv[2:]), place)
        except OSError as error:
            print(error.strerror, list(place.iterdir()))
    """
    done = run_on_small_disk(place, "128k", program, NAME, package.sha256, mounted=mounted)

    assert done.stdout == "No space left on device []\n", done.stderr


def test_what_a_killed_command_left_behind_goes_with_the_next(tmp_path: Path) -> None:
    """A folder whose holder was killed is removed; one whose holder works is not."""
    program = """
        import pathlib, sys, time
        from overread.scratch import scratch_folder
        with scratch_folder(pathlib.Path(sys.argv[1]), "work-") as folder:
            (folder / "half").write_bytes(b"half")
            print(folder, flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    held = Path(holder.stdout.readline().strip())

    with scratch_folder(tmp_path, "work-") as folder:
        assert sorted(tmp_path.iterdir()) == sorted([held, folder])
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert list(held.iterdir()) != []
    with scratch_folder(tmp_path, "work-") as folder:
        assert list(tmp_path.iterdir()) == [folder]

    assert list(tmp_path.iterdir()) == []
