"""What happened to a version of an algorithm has the same words on every screen."""

from typing import Any

import pytest

from storage.domain.algorithm_history import more_of, what_happened


@pytest.mark.parametrize(
    ("action", "outcome", "details", "what", "more"),
    [
        ("algorithm-added", "success", {}, "added", "without an acceptance set; golden pair: none"),
        (
            *("algorithm-added", "success", {"again": "restored", "acceptance_sha256": "0", "golden": "Dice 1"}),
            *("added again (restored)", "with an acceptance set; golden pair: Dice 1"),
        ),
        ("algorithm-shadowed", "success", {}, "put in shadow", ""),
        ("algorithm-promoted", "success", {"previous_version": "1"}, "promoted", "in place of 1"),
        (
            *("algorithm-promoted", "success", {"decision": "rollback", "previous_version": "2"}),
            *("rolled back to", "in place of 2"),
        ),
        (
            *("algorithm-promoted", "success", {"previous_version": "1", "acceptance_skipped_because": "Mended."}),
            *("promoted", "in place of 1; acceptance set skipped, because: Mended."),
        ),
        ("algorithm-retired", "success", {}, "retired", ""),
        (
            *("algorithm-acceptance-run", "minor-failure", {"cases": 2, "passed": 1, "numbers": "one: 0.4"}),
            *("tried on its acceptance set", "fell short, 1 of 2 cases (one: 0.4)"),
        ),
        (
            *("algorithm-acceptance-run", "success", {"cases": 1, "passed": 1, "numbers": "one: 1"}),
            *("tried on its acceptance set", "passed, 1 of 1 cases (one: 1)"),
        ),
        ("algorithm-named-later", "success", {}, "algorithm-named-later", ""),
    ],
)
def test_each_decision_has_its_words(action: str, outcome: str, details: dict[str, Any], what: str, more: str) -> None:
    """A rollback is no promotion, and what a later release writes is told by its own name."""
    event = {"action": action, "outcome": outcome, "details": details}

    assert (what_happened(event), more_of(event)) == (what, more)
