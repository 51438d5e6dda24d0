"""The page of checks and the tests are equal: each row is shown by a test that exists and says so, or is open."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reference" / "evidence-checks.md"
ROWS = [*(f"S{n}" for n in range(1, 17)), *(f"R{n}" for n in range(1, 13)), *(f"P{n}" for n in range(1, 8))]
OPEN = "open, because "


def _page() -> dict[str, list[str]]:
    """Row by row, the tests or the reason why there is none."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and re.fullmatch(r"[SRP]\d+", cells[0]):
            assert cells[1]
            rows[cells[0]] = [cells[2]] if cells[2].startswith(OPEN) else re.findall(r"`([^`]+)`", cells[2])
    return rows


@cache
def _docstrings(file: str) -> dict[str, str]:
    """What the tests of a file say of themselves, by their names."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    tests = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")]
    return {one.name: " ".join((ast.get_docstring(one) or "").split()) for one in tests}


def _rows_in(text: str) -> set[str]:
    """The rows that a docstring names in parentheses, as in ``(S3, S4)``."""
    return {row for group in re.findall(r"\(([^()]*)\)", text) for row in re.findall(r"\b[SRP]\d{1,2}\b", group)}


def test_every_row_is_on_the_page() -> None:
    """Each of the 35 rows stands there once, in order."""
    assert list(_page()) == ROWS


def test_every_row_is_shown_by_tests_that_say_so() -> None:
    """Each named test exists, and its docstring names the row; a row without one is open and says why."""
    wrong = []
    for row, named in _page().items():
        if not named:
            wrong.append(f"{row} names no test and is not open")
        for one in named:
            if one.startswith(OPEN):
                continue
            file, _, name = one.partition("::")
            said = _docstrings(file).get(name) if (TESTS / file).is_file() else None
            if said is None:
                wrong.append(f"{row}: {one} does not exist")
            elif row not in _rows_in(said):
                wrong.append(f"{row}: {one} does not say that it shows {row}")
    assert wrong == []


def test_no_row_is_called_open_that_a_test_shows() -> None:
    """A row that some docstring names has its test on the page."""
    shown = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for name, said in _docstrings(str(file.relative_to(TESTS))).items():
            for row in _rows_in(said):
                shown[row].append(f"{file.relative_to(TESTS)}::{name}")

    called_open = {row for row, named in _page().items() if named[0].startswith(OPEN)}
    assert {row: shown[row] for row in called_open if shown[row]} == {}
