"""Agreement of two versions: figures by hand, and the studies that are worth a look."""

import pytest

from storage.domain.agreement import (
    Analysis,
    ClassAgreement,
    Limits,
    Pair,
    classes,
    disagreements,
    numbers,
    outcomes,
    quantile,
    relative_difference,
)


def _pair(number: int, active: Analysis, shadow: Analysis) -> Pair:
    return Pair(f"1.2.{number}", active, shadow, {})


def _said(present: bool, probability: float = 0.5) -> Analysis:
    return Analysis(1, "analysed", {"x": present}, {"probability of x": probability})


def _measured(volume: float) -> Analysis:
    return Analysis(1, "analysed", {}, {"Volume of Liver (cm3)": volume})


def test_kappa_is_that_of_a_textbook() -> None:
    """Cohen's example: 20 and 15 of 50 alike, 5 and 10 apart: 0.7 agree, by chance 0.5 would, kappa is 0.4."""
    agreement = ClassAgreement("x", 20, 5, 10, 15)

    assert agreement.agreement == pytest.approx(0.7)
    assert agreement.kappa == pytest.approx(0.4)
    assert ClassAgreement("x", 0, 0, 0, 9).kappa is None


def test_classes_are_counted_in_four_cells() -> None:
    """Active stands first; a study of which one says nothing is in no cell."""
    pairs = [
        _pair(1, _said(True), _said(True)),
        _pair(2, _said(True), _said(False)),
        _pair(3, _said(False), _said(True)),
        _pair(4, _said(False), _said(False)),
        _pair(5, _said(True), Analysis(2, "failed")),
    ]

    assert classes(pairs) == [ClassAgreement("x", 1, 1, 1, 1)]
    assert outcomes(pairs) == {("analysed", "analysed"): 4, ("analysed", "failed"): 1}


def test_limits_of_agreement_are_by_hand() -> None:
    """Differences of 10, 20 and 30: a bias of 20, a deviation of 10, limits 19.6 to either side."""
    pairs = [
        _pair(place, _measured(100.0), _measured(100.0 + difference))
        for place, difference in enumerate((10.0, 20.0, 30.0))
    ]

    (found,) = numbers(pairs)

    assert (found.studies, found.bias) == (3, 20)
    assert (found.lower, found.upper) == pytest.approx((0.4, 39.6))
    assert found.relative == pytest.approx((10 / 105 + 20 / 110 + 30 / 115) / 3)
    assert relative_difference(0, 0) == 0
    assert relative_difference(0, 5) == 2


def test_a_study_to_look_at_says_why() -> None:
    """Another outcome, another class, a volume or a probability beyond its limit; nobody asks for more than that."""
    pairs = [
        _pair(1, _said(True, 0.9), _said(True, 0.5)),
        _pair(2, _said(True), _said(False)),
        _pair(3, _measured(100), _measured(109)),
        _pair(4, _measured(100), _measured(112)),
        _pair(5, _measured(100), Analysis(2, "failed")),
        _pair(6, _said(True, 0.9), _said(True, 0.75)),
    ]

    assert [(one.study_instance_uid, one.reasons) for one in disagreements(pairs, Limits(0.1, 0.2))] == [
        ("1.2.1", ("probability of x: 0.9 / 0.5",)),
        ("1.2.2", ("x: present / absent",)),
        ("1.2.4", ("Volume of Liver (cm3): 100 / 112",)),
        ("1.2.5", ("outcome: analysed / failed",)),
    ]


def test_what_only_one_of_them_told_is_worth_a_look() -> None:
    """A version that calls its class or structure otherwise does not agree with the one before by having no number."""
    renamed = Analysis(2, "analysed", {"y": True}, {"Volume of Lobe (cm3)": 100.0, "probability of y": 0.9})
    pairs = [_pair(1, Analysis(1, "analysed", {"x": True}, {"Volume of Liver (cm3)": 100.0}), renamed)]

    assert [one.reasons for one in disagreements(pairs, Limits(0.1, 0.2))] == [
        (
            *("x: present / not told", "y: not told / present"),
            *("Volume of Liver (cm3): 100 / not told", "Volume of Lobe (cm3): not told / 100"),
        )
    ]


def test_quantiles_lie_between_neighbours() -> None:
    """As PostgreSQL's percentile_cont does it."""
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([1, 2], 0.95) == pytest.approx(1.95)
    assert quantile([], 0.5) is None
