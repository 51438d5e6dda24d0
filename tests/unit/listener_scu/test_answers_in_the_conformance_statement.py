"""What we make of a destination's answer stands in the conformance statement, row by row."""

from pathlib import Path

from listener.scu.query.retrieve_status import RETRIEVE_RULES
from listener.scu.verdict import STATUS_RULES

PAGE = (Path(__file__).parents[3] / "docs" / "conformance-statement.md").read_text(encoding="utf-8")


def test_every_rule_for_answers_is_in_the_conformance_statement():
    """Statuses, verdict and sentence of the literal table, in its order."""
    section = PAGE.split("# Answers of destinations\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| 0x")]

    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == [
        [
            f"0x{rule.first:04X}" + (f" to 0x{rule.last:04X}" if rule.last != rule.first else ""),
            rule.verdict.value,
            rule.note,
        ]
        for rule in STATUS_RULES
    ]


def test_every_status_of_a_retrieval_is_in_the_conformance_statement():
    """Statuses, code and sentence of the literal table, in its order."""
    section = PAGE.split("# Query/Retrieve\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| 0x")]

    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == [
        [
            f"0x{rule.first:04X}" + (f" to 0x{rule.last:04X}" if rule.last != rule.first else ""),
            rule.code,
            rule.sentence,
        ]
        for rule in RETRIEVE_RULES
    ]


def test_the_statement_follows_the_outline_of_the_standard():
    """The chapters of PS3.2's outline are there, in its order."""
    chapters = [line.removeprefix("## ") for line in PAGE.splitlines() if line.startswith("## ")]

    assert chapters == [
        "1 Overview",
        "2 Contents",
        "3 Introduction",
        "4 Networking",
        "5 Media interchange",
        "6 Support of character sets",
        "7 Security",
        "8 Annexes",
    ]
