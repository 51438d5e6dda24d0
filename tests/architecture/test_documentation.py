"""Documentation that can be compared with the code is."""

import inspect
import re
from pathlib import Path

from overread.cli import COMMANDS
from overread.configuration_page import page
from overread.demo import brain_extraction

DOCS = Path(__file__).parents[2] / "docs"


def test_every_setting_is_on_the_page() -> None:
    """docs/reference/configuration.md is what the settings classes say."""
    written = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")

    assert written.strip() == page().strip()


def test_every_role_is_in_the_architecture() -> None:
    """docs/architecture.md names every role that the supervisor starts."""
    from overread.supervisor import ROLES

    text = (DOCS / "architecture.md").read_text(encoding="utf-8")

    assert set(ROLES) <= set(COMMANDS)
    assert [role for role in ROLES if f"`overread {role}`" not in text] == []


def test_every_dependency_has_its_reason() -> None:
    """docs/decisions/dependencies.md has a line for each direct dependency."""
    import tomllib

    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = [re.split(r"[<>=\[ ]", line)[0] for line in direct]
    text = (DOCS / "decisions" / "dependencies.md").read_text(encoding="utf-8")

    assert [name for name in names if name != "overread" and name not in text] == []


def test_every_lock_line_is_one_version() -> None:
    """constraints.txt pins each package to exactly one version and names every direct dependency."""
    lines = (DOCS.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert [line for line in pins if line.count("==") != 1] == []
    assert "torch==2.13.0" in pins


def test_no_two_decisions_bear_one_number() -> None:
    """A decision is cited by its number; file name and heading agree on it."""
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    headings = [int(re.match(r"# (\d+)", page.read_text(encoding="utf-8"))[1]) for page in pages]  # type: ignore[index]

    assert numbers == headings == sorted(set(numbers))


def test_what_the_demo_s_algorithm_takes_is_told_as_it_is() -> None:
    """Both pages that name the fewest slices of the demo's brain extraction name those of its manifest."""
    (least,) = re.findall(r"min_slices: (\d+)", inspect.getsource(brain_extraction))
    example = (DOCS / "reference" / "algorithm-folder.md").read_text(encoding="utf-8")
    researchers = (DOCS / "for-researchers.md").read_text(encoding="utf-8")

    assert re.search(r"body_parts: \[HEAD, BRAIN\], min_slices: (\d+)", example)[1] == least  # type: ignore[index]
    assert re.search(r"at least (\d+) slices", researchers)[1] == least  # type: ignore[index]
