"""The short form of `python -m tests.fuzz.hostile_images`: images that mean harm, on their way into a volume."""

import math
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.hostile_images import MUTATIONS, SYNTAXES, hostile

_ROOT = Path(__file__).parents[2]
_COUNT = 120


def test_every_hostile_image_ends_with_a_reason(tmp_path: Path) -> None:
    """The process that reads them lives, stays small and does not hang; what is left is loaded or has a code."""
    done = subprocess.run(
        # A shell in between: the kernel would count the memory of this whole test run as the peak of our own child.
        [
            *("sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "tests.fuzz.hostile_images"),
            *("--count", str(_COUNT), "--keep", str(tmp_path)),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"{_COUNT} of {_COUNT} ended" in done.stdout
    codes = set(re.findall(r"^ +\d+ ([a-z-]+)$", done.stdout, re.MULTILINE))
    assert {"loaded", "unreadable", "undecodable-pixel-data", "too-many-pixels", "missing-geometry"} <= codes
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_makes_the_same_images() -> None:
    """What escaped can be made again, and another seed makes others."""
    first, again, other = (list(hostile(len(MUTATIONS), seed)) for seed in (1, 1, 2))

    assert first == again != other


def test_every_mutation_meets_every_transfer_syntax() -> None:
    """The long form has each pair of them several times."""
    assert math.gcd(len(MUTATIONS), len(SYNTAXES)) == 1
    assert len(MUTATIONS) * len(SYNTAXES) * 4 <= 960
