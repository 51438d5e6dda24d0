"""A Modality is repeated only where it is one: a sender can write a patient's name into it."""

import pytest

from inference.evidence.not_analysed_report import SeriesLookedAt
from inference.imaging.modality import shown_modality


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "IVUS", "M3D", "RTSTRUCT", "TEXTUREMAP"])
def test_a_modality_is_repeated(modality: str) -> None:
    """Defined terms are what a reader finds a series by."""
    assert SeriesLookedAt("1.2.3", modality, 9, 6, None).name == f"Series 9, {modality}, 6 images"


@pytest.mark.parametrize(
    "foreign",
    [
        "DOE^JANE 19600102",
        "DOE",
        "SMITH",
        "DOE JANE",
        "DOEJANE",
        "DOE_J",
        "19600102",
        "1960",
        "ct",
        "CT\n",
        "",
        "\u216f\u216f",
    ],
)
def test_anything_else_is_an_unknown_modality(foreign: str) -> None:
    """Nothing that could be a name or a date is repeated, in the report or in the reason of a refusal."""
    assert shown_modality(foreign) == "unknown modality"
    assert SeriesLookedAt("1.2.3", foreign, 9, 6, None).name == "Series 9, unknown modality, 6 images"
