"""Each fault and threat that must be survived has tests that exist."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "reference" / "faults-and-threats.md"
_OWED = {
    *(
        "F2",
        "F3",
        "F9",
        "F10",
        "F11",
        "F12",
        "F14",
        "F15",
        "F16",
        "F17",
        "F18",
        "F19",
        "F27",
        "F29",
        "F30",
        "F38",
        "F40",
    ),
    *("T5", "T8", "T9", "T12", "T23", "T30"),
}
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)
_ROW = re.compile(r"\| ([FT]\d+) \| .* \| (.*) \|")


def test_every_row_names_tests_that_exist() -> None:
    """docs/reference/faults-and-threats.md has every fault and threat that is owed, each with tests that exist."""
    rows = [_ROW.fullmatch(line) for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = [(row[1], re.findall(r"`(test_\w+)`", row[2])) for row in rows if row]
    there = {name for path in (_ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text("utf-8"))}

    assert {number for number, _ in named} == _OWED
    assert len(named) == len(rows) - 2  # the head and its line
    assert [number for number, tests in named if not tests] == []
    assert [test for _, tests in named for test in tests if test not in there] == []
