"""What reception, the web door, delivery, housekeeping and migrations need is the core; models come with an extra."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from overread.cli import EXTRAS

ROOT = Path(__file__).parents[2]

# Refuses what the core does not bring, as if it were not installed, then imports every module of the small rooms.
_IMPORT_SMALL_ROOMS = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import listener, overread.commands, storage
for room in (listener, storage, overread.commands):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
"""


def _closure(requirements: list[str]) -> set[str]:
    """The distributions that the requirements bring, direct or not."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        name = _normal(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        if name in found:
            continue
        found.add(name)
        waiting += [Requirement(line) for line in metadata.requires(name) or []]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _absent() -> set[str]:
    """Import names that no distribution of the core brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = _closure(project["dependencies"])
    ours = {"listener", "inference", "storage", "training", "overread"}
    return {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not core.intersection(map(_normal, distributions)) and module not in ours
    }


def test_the_small_rooms_import_with_the_core_alone() -> None:
    """Every module of listener, storage and the commands loads without a model runtime, numpy or highdicom.

    What fails here belongs into a function, into `inference`, or into the core dependencies of pyproject.toml.
    """
    absent = _absent()
    program = _IMPORT_SMALL_ROOMS.format(absent=absent)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)

    assert {"onnxruntime", "onnx", "torch", "highdicom", "scipy", "cv2"} <= absent
    assert "httpx" not in absent
    assert done.returncode == 0, done.stderr


def test_a_missing_module_is_named_with_its_extra() -> None:
    """A command that needs what is not installed says which extra brings it, and exits 1."""
    program = (
        "import sys; sys.modules['yaml'] = None; sys.argv = ['overread', 'algorithms', 'verify', '.']; "
        "from overread.cli import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.stderr == (
        "overread: This command needs yaml, which this installation lacks; install overread[cpu], or overread[gpu] "
        "where there is a GPU.\n"
    )
    assert done.returncode == 1


def test_every_extra_that_is_named_exists() -> None:
    """No sentence asks for an extra that pyproject.toml does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
