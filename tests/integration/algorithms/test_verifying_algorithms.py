"""`overread algorithms verify`: what is installed is still what was added, and computes what the original computed."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import Result

from inference.algorithms.golden import write_golden
from inference.algorithms.golden_volume import GoldenVolume
from overread.errors import VerificationFailed
from storage.domain.algorithm import RegisteredAlgorithm
from tests.peers.tiny_algorithm import write_tiny_algorithm

_BRIGHT = np.full((2, 2, 2), 100, np.float32)
_SURE = (1 / (1 + np.exp(99.5 - _BRIGHT[np.newaxis]))).astype(np.float32)


def test_every_version_is_looked_at(
    attempt: Callable[..., Result],
    version: Callable[[str], str],
    registered: Callable[..., RegisteredAlgorithm],
) -> None:
    """Two of three are damaged: each has a sentence of its own, the third is told to be well, and the end is bad."""
    _, second, third = (registered(Path(version(number))) for number in ("1", "2", "3"))
    (third.folder / "model.onnx").write_bytes(b"damaged")
    shutil.rmtree(second.folder)

    looked = attempt("verify")

    assert isinstance(looked.exception, VerificationFailed)
    assert str(looked.exception).startswith("2 of 3 versions did not pass: tiny 3, tiny 2; ")
    assert [line[:30] for line in looked.stderr.splitlines()] == [
        "tiny 3 is not as it should be:",
        "tiny 2 is not as it should be:",
    ]
    (well,) = looked.stdout.splitlines()
    assert well.startswith("tiny 1: as added;")


def test_parity_compares_with_the_original(
    attempt: Callable[..., Result], registered: Callable[..., RegisteredAlgorithm], tmp_path: Path
) -> None:
    """Largest difference and Dice are told; what has no output of the original does not pass, installed or not."""
    pair = write_tiny_algorithm(tmp_path / "pair", identity={"version": "1"})
    write_golden(pair, GoldenVolume(_BRIGHT, _SURE))
    none = write_tiny_algorithm(tmp_path / "none", identity={"version": "2"})
    for folder in (pair, none):
        registered(folder)

    looked = attempt("verify", "--parity")
    without = attempt("verify", "--parity", str(none))

    told = r"Against the original framework's output on the same input: largest difference \S+, Dice 1\.0000\."
    assert isinstance(looked.exception, VerificationFailed)
    assert "1 of 2 versions did not pass: tiny 2;" in str(looked.exception)
    assert re.search(rf"^tiny 1: as added; .*{told}$", looked.stdout, re.MULTILINE)
    assert "tiny 2 has no golden pair" in looked.stderr
    assert "has no golden pair" in str(without.exception)
    assert without.stdout == ""


def test_where_nothing_is_installed_nothing_was_verified(attempt: Callable[..., Result]) -> None:
    """A check against the wrong database does not look green."""
    assert str(attempt("verify").exception).startswith("No algorithm is installed, so nothing was verified; ")
