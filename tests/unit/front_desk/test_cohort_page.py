"""The page on cohorts says what the code does."""

from pathlib import Path

from overread.cohorts.table import COLUMNS, IDENTIFYING, Pseudonyms
from storage.domain.cohort import MEMBER_TRANSITIONS

_PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "cohorts.md").read_text(encoding="utf-8")


def _cells(heading: str) -> list[list[str]]:
    section = _PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_every_transition_of_a_study_is_on_the_page() -> None:
    """States and events of the literal table, in its order."""
    assert [tuple(row[:3]) for row in _cells("States of a study")[1:]] == [
        (str(before), str(event), str(after)) for (before, event), after in MEMBER_TRANSITIONS.items()
    ]


def test_every_column_is_on_the_page() -> None:
    """Those of every table, then those that an identified one has more."""
    told = [row[0] for row in _cells("The table") if row[0] != "column"]

    assert told == [*COLUMNS, *IDENTIFYING]


def test_keys_are_the_same_in_one_cohort_and_differ_between_cohorts_and_kinds() -> None:
    """A study keeps its key; another cohort, another secret or a patient of the same text has another one."""
    one = Pseudonyms(b"secret", "past")

    assert one.of("study", "1.2") == Pseudonyms(b"secret", "past").of("study", "1.2")
    others = (
        one.of("patient", "1.2"),
        Pseudonyms(b"secret", "b").of("study", "1.2"),
        Pseudonyms(b"x", "past").of("study", "1.2"),
    )
    assert len({one.of("study", "1.2"), *others}) == 4
