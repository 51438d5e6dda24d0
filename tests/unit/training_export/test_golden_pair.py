"""The golden pair finds a machine on which preprocessing or network came out differently."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.algorithms.engine import Engine
from inference.algorithms.folder import GOLDEN_NAME, verify
from inference.algorithms.golden import check_golden, read_golden, write_golden
from inference.algorithms.golden_images import Golden
from inference.errors import InvalidAlgorithm
from inference.settings import WorkerSettings


@pytest.fixture
def engine(exported: Path) -> Engine:
    """The exported network in the worker's engine."""
    return Engine(verify(exported), WorkerSettings(device="cpu", threads=1))


def test_the_exported_pair_holds(exported: Path, engine: Engine) -> None:
    """Right after the export, serving gives what training gave, to within rounding."""
    golden = read_golden(exported)

    assert isinstance(golden, Golden)
    assert golden.maps is not None
    assert check_golden(verify(exported), golden, engine).largest < 1e-5


@pytest.mark.parametrize("spoilt", ["images", "prepared", "probabilities", "maps"])
def test_each_array_is_compared(exported: Path, engine: Engine, spoilt: str) -> None:
    """A pair that differs in one half, by a hundredth of its range, does not pass."""
    golden = read_golden(exported)
    array = getattr(golden, spoilt).copy()
    array[..., array.shape[-1] // 2 :] += 0.01 * (np.abs(array).max() + 1)

    with pytest.raises(InvalidAlgorithm):
        check_golden(verify(exported), dataclasses.replace(golden, **{spoilt: array}), engine)


def test_a_pair_is_never_unpickled(tmp_path: Path) -> None:
    """An array of objects, which numpy could only read by pickle, is refused; so is what is no archive."""
    with (tmp_path / GOLDEN_NAME).open("wb") as file:
        np.savez(file, images=np.array([{"a": 1}], object))
    with pytest.raises(InvalidAlgorithm):
        read_golden(tmp_path)

    (tmp_path / GOLDEN_NAME).write_bytes(b"nothing")
    with pytest.raises(InvalidAlgorithm):
        read_golden(tmp_path)


def test_the_verify_command_runs_the_pair(exported: Path, tmp_path: Path) -> None:
    """`overread algorithms verify FOLDER` says that the pair was run, and exits 1 when it does not hold."""
    golden = read_golden(exported)
    good = subprocess.run(_verify(exported), capture_output=True, text=True, check=False, env=os.environ)
    assert good.returncode == 0, good.stderr
    assert "golden" in good.stdout

    try:
        (exported / GOLDEN_NAME).unlink()
        without = subprocess.run(_verify(exported), capture_output=True, text=True, check=False, env=os.environ)
        assert without.stdout.endswith("It has no golden pair.\n")
        write_golden(exported, dataclasses.replace(golden, probabilities=1 - golden.probabilities))
        bad = subprocess.run(_verify(exported), capture_output=True, text=True, check=False, env=os.environ)
    finally:
        write_golden(exported, golden)

    assert bad.returncode == 1
    assert "do not use it here" in bad.stderr


def _verify(folder: Path) -> list[str]:
    return [sys.executable, "-m", "overread", "algorithms", "verify", str(folder)]


def test_a_spoilt_pair_is_none(tmp_path: Path) -> None:
    """A member that cannot be inflated is told as such, and not as a network that is too large."""
    np.savez_compressed(tmp_path / "golden.npz", volume=np.zeros((20, 20, 20)), output=np.zeros((1, 20, 20, 20)))
    content = bytearray((tmp_path / "golden.npz").read_bytes())
    content[60:90] = b"\xff" * 30
    (tmp_path / "golden.npz").write_bytes(content)

    with pytest.raises(InvalidAlgorithm, match="holds no golden pair"):
        read_golden(tmp_path)
