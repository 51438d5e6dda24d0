"""Verdicts on findings: what can be judged, and what share was accepted."""

import pytest

from storage.domain.feedback import Agreement, JudgedThing, standing, things_of, wilson

_KIND = {"value": "108369006", "scheme": "SCT", "meaning": "Neoplasm"}


def _class(present: bool, candidates: int | None = None) -> dict[str, object]:
    classification = {"label": "Tumour", "probability": 0.926, "present": present}
    detection = None if candidates is None else {"candidates": candidates}
    found: dict[str, object] = {"tracking_uid": "2.25.1", "kind": _KIND, "classification": classification}
    return found | {"detection": detection}


def test_each_finding_can_be_judged_also_one_that_says_no() -> None:
    """What was looked for and not found is a statement, right or wrong."""
    structure = {
        "tracking_uid": "2.25.2",
        "kind": _KIND,
        "site": {**_KIND, "meaning": "Liver"},
        "measurements": [{"name": {"meaning": "Volume"}, "value": 1723.46, "unit": {"value": "cm3"}}],
    }

    assert things_of([_class(True), structure, _class(False), _class(False, 0)]) == [
        JudgedThing("2.25.1", "Tumour", "found, probability 0.93"),
        JudgedThing("2.25.2", "Neoplasm, Liver", "Volume 1723 cm3"),
        JudgedThing("2.25.1", "Tumour", "not found, probability 0.93"),
        JudgedThing("2.25.1", "Tumour", "none found"),
    ]


def test_a_result_without_findings_is_judged_as_a_whole() -> None:
    """Nothing found can be right or wrong too."""
    assert things_of([]) == [JudgedThing("", "Whole result", "nothing found")]


def test_the_newest_verdict_counts() -> None:
    """Of several on one finding the last one given, on whichever repetition; of a whole result only those on it."""
    said = ((1, "a", 1), (1, "b", 2), (2, "a", 3), (1, "", 4), (2, "", 5))
    rows = [{"result_id": number, "tracking_uid": uid, "verdict": word} for number, uid, word in said]

    assert {key: row["verdict"] for key, row in standing(rows).items()} == {"a": 3, "b": 2, 1: 4, 2: 5}


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17:857-872, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilson_s(successes: int, trials: int, low: float, high: float) -> None:
    """The figures that Newcombe published for the score interval without correction."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_what_nobody_judged_has_no_share() -> None:
    """Neither 0 nor 1 is claimed of it; of what was judged all three kinds count."""
    assert (Agreement(3, 4, 0, 0, 0).share, Agreement(3, 4, 0, 0, 0).interval) == (None, None)
    assert (Agreement(3, 9, 2, 1, 1).judged, Agreement(3, 9, 2, 1, 1).share) == (4, 0.5)
    with pytest.raises(ValueError, match="Nothing was tried"):
        wilson(0, 0)
