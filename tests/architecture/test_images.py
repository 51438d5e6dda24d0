"""What the Dockerfiles promise, as far as their text shows it; tests/end_to_end/test_containers.py carries them out."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from overread.packages import OHIF
from tests.peers.dockerfile import Stage, stages

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
_BIN = Path(sys.executable).parent
_EXTRAS = {"service": (), "worker-cpu": ("cpu", "model"), "worker-gpu": ("gpu", "model")}

either = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def _final(path: Path) -> Stage:
    return stages(path)[-1]


def _pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(found)


def test_hadolint_finds_nothing() -> None:
    """Both Dockerfiles pass hadolint; docker/hadolint.yaml says what is left out and why."""
    command = [str(_BIN / "hadolint"), "--config", str(DOCKER / "hadolint.yaml"), *map(str, FILES)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert [path.name for path in FILES] == ["service.Dockerfile", "worker.Dockerfile"]
    assert (done.returncode, done.stdout) == (0, "")


@either
def test_nothing_runs_as_root(path: Path) -> None:
    """The image's user is a number that is not 0, and no later line changes it."""
    users = _final(path).all("USER")

    assert users == ["10001:10001"]
    assert _final(path).labels()["org.opencontainers.image.version"] == _version()


@either
def test_no_program_goes_through_a_shell(path: Path) -> None:
    """RUN, ENTRYPOINT, CMD and HEALTHCHECK name programs with their arguments, so nothing is ever expanded."""
    for stage in stages(path):
        for keyword in ("RUN", "ENTRYPOINT", "CMD"):
            assert all(json.loads(argument) for argument in stage.all(keyword))
    assert _final(path).health_check() == ["overread", "health"]
    assert _final(path).environment()["PYTHONSAFEPATH"] == "1"
    assert _final(path).last("STOPSIGNAL") == "SIGTERM"


@either
def test_both_stages_stand_on_the_python_that_the_lock_is_for(path: Path) -> None:
    """A base image names its Python and its Debian, never `latest`, and is the same for building and for running."""
    bases = {stage.base for stage in stages(path) if stage.name != "viewer"}

    assert bases == {"python:3.11-slim-bookworm"}


def test_the_small_image_has_the_viewer_that_the_demo_fetches() -> None:
    """The same package, version and digest, packed and unpacked without running anything of it."""
    (stage,) = [each for each in stages(DOCKER / "service.Dockerfile") if each.name == "viewer"]
    lock = (DOCKER / "locks" / "viewer.sha256").read_text(encoding="utf-8")

    pack, check, unpack = [json.loads(line) for line in stage.all("RUN")]

    assert stage.base == "node:22-bookworm-slim"
    assert lock == f"{OHIF.sha256}  {OHIF.filename}\n"
    assert pack == ["npm", "pack", f"{OHIF.name}@{OHIF.version}", "--silent", "--ignore-scripts"]
    assert check == ["sha256sum", "--check", "viewer.sha256"]
    assert unpack[:3] == ["tar", "--extract", f"--file={OHIF.filename}"]


@either
def test_everything_installed_comes_from_a_lock_with_digests(path: Path) -> None:
    """Each installation is either from a file of pins with digests, or of our own wheel with the index switched off."""
    installs = [json.loads(line) for stage in stages(path) for line in stage.all("RUN") if '"install"' in line]
    for command in [each for each in installs if each[0].endswith("pip")]:
        assert "--require-hashes" in command or {"--no-index", "--no-deps"} <= set(command), command


@either
def test_what_is_copied_exists_and_is_let_through(path: Path) -> None:
    """Each COPY names something that is there and that .dockerignore does not keep out."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for device in ("cpu", "gpu"):
        for stage in stages(path, {"DEVICE": device}):
            for line in stage.all("COPY"):
                *sources, _ = [word for word in line.split() if not line.startswith("--from=")] or [""]
                for source in sources:
                    assert (ROOT / source).exists(), source
                    assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


@pytest.mark.parametrize("name", _EXTRAS)
def test_a_lock_is_complete_and_agrees_with_the_constraints(name: str) -> None:
    """docker/locks names every dependency of its image, at the version that the tests run; `make lock` mends it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(each for x in _EXTRAS[name] for each in project["optional-dependencies"][x])]
    names = {re.split(r"[<>=\[ ]", line)[0] for line in wanted} - {"overread"}
    constraints = _pins(ROOT / "constraints.txt")
    pins = _pins(DOCKER / "locks" / f"{name}.txt")
    text = (DOCKER / "locks" / f"{name}.txt").read_text(encoding="utf-8")

    assert names - set(pins) == set()
    assert {each: pin for each, pin in pins.items() if constraints.get(each) != pin} == {}
    assert len(re.findall(r"==\S+ .*\\\n    --hash=sha256:[0-9a-f]{64}", text)) == len(pins)


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
