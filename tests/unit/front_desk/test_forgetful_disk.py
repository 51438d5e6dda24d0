"""The library that simulates a power cut forgets what was not synced, and nothing else."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from overread.torture.recording import Disk
from overread.torture.shim import Shim


def run(folder: Path, program: str, **settings: int) -> tuple[Disk, subprocess.CompletedProcess[str]]:
    """Run a Python program in an empty ``folder / "disk"``; what was recorded, and how the program ended."""
    shim = Shim(folder)
    shim.set(**settings)
    disk = folder / "disk"
    disk.mkdir()
    environment = os.environ | shim.environment(disk, folder / "record")
    preamble = "import os\ndef sync(path):\n    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)\n"
    done = subprocess.run(
        [sys.executable, "-c", preamble + program],
        env=environment,
        cwd=disk,
        capture_output=True,
        text=True,
        check=False,
    )
    return Disk(folder / "record"), done


def left(folder: Path, disk: Disk, luck: random.Random | None = None) -> dict[str, bytes]:
    """What a power cut leaves, by name."""
    target = folder / "left"
    target.mkdir()
    disk.rebuild(target, luck)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("program", "survives"),
    [
        ("open('a', 'wb').write(b'x'); sync('a'); sync('.')", {"a": b"x"}),
        ("open('a', 'wb').write(b'x'); sync('.')", {"a": b""}),
        ("open('a', 'wb').write(b'x'); sync('a')", {}),
        ("f = open('a', 'wb', 0); f.write(b'x'); os.fsync(f.fileno()); f.write(b'y'); sync('.')", {"a": b"x"}),
        ("f = open('a', 'wb', 0); f.write(b'x'); os.fdatasync(f.fileno()); os.pwrite(f.fileno(), b'z', 0)\n"
         "os.fdatasync(f.fileno()); sync('.')", {"a": b"z"}),
        ("open('a', 'wb').write(b'x'); sync('a'); sync('.'); os.rename('a', 'b')", {"a": b"x"}),
        ("open('a', 'wb').write(b'x'); sync('a'); os.rename('a', 'b'); sync('.')", {"b": b"x"}),
        ("open('a', 'wb').write(b'x'); sync('a'); sync('.'); os.unlink('a')", {"a": b"x"}),
        ("open('a', 'wb').write(b'x'); sync('a'); sync('.'); os.unlink('a'); sync('.')", {}),
        ("os.mkdir('d'); open('d/a', 'wb').write(b'x'); sync('d/a'); sync('d')", {}),
        ("os.mkdir('d'); sync('.'); open('d/a', 'wb').write(b'x'); sync('d/a'); sync('d')", {"d/a": b"x"}),
        ("open('a', 'wb').write(b'x'); sync('a'); sync('.'); os.link('a', 'b'); sync('.')", {"a": b"x", "b": b"x"}),
        ("f = os.open('a', os.O_WRONLY | os.O_CREAT | os.O_DSYNC); os.write(f, b'x'); sync('.')", {"a": b"x"}),
        ("f = os.open('a', os.O_RDWR | os.O_CREAT); os.posix_fallocate(f, 0, 4); os.writev(f, [b'x', b'y'])\n"
         "os.fdatasync(f); os.ftruncate(f, 1); sync('.')", {"a": b"xy\0\0"}),
    ],
)  # fmt: skip
def test_only_what_was_synced_survives(tmp_path: Path, program: str, survives: dict[str, bytes]) -> None:
    """A file needs its own sync for its bytes, and its folder's for its name."""
    disk, done = run(tmp_path, program)

    assert done.returncode == 0, done.stderr
    assert left(tmp_path, disk) == survives


def test_what_was_synced_survives_any_luck(tmp_path: Path) -> None:
    """What was not synced may survive or not; what was, always does."""
    disk, done = run(tmp_path, "open('a', 'wb').write(b'x' * 5000); sync('a'); sync('.'); open('b', 'wb').write(b'y')")

    assert done.returncode == 0, done.stderr
    assert left(tmp_path, disk, random.Random(1))["a"] == b"x" * 5000


def test_a_failed_sync_loses_what_it_should_have_kept(tmp_path: Path) -> None:
    """After EIO the kernel may drop the bytes; a later sync that succeeds does not bring them back."""
    program = (
        "f = open('a', 'wb', 0); f.write(b'x')\n"
        "try:\n    os.fsync(f.fileno())\nexcept OSError as error:\n    print(error.errno)\n"
    )
    disk, done = run(tmp_path, program, failing_syncs=100)

    assert done.stdout == "5\n"
    assert left(tmp_path, disk) == {}


def test_a_full_disk_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """With so many bytes left, a write of more ends with ENOSPC."""
    _, done = run(tmp_path, "open('a', 'wb', 0).write(b'x' * 50); open('b', 'wb', 0).write(b'x' * 100)", space=100)

    assert "No space left on device" in done.stderr
