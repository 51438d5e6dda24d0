"""In which unit the values of images are, and when nothing may be said of them."""

import pytest
from pydicom import Dataset

from inference.findings.intensity_unit import quantity_of


def _header(**attributes: str) -> Dataset:
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


@pytest.mark.parametrize(
    ("attributes", "code", "unit"),
    [
        ({"Modality": "CT"}, "112031", "[hnsf'U]"),
        ({"Modality": "CT", "RescaleType": "HU"}, "112031", "[hnsf'U]"),
        ({"Modality": "CT", "RescaleType": "US"}, "112031", "{unitless}"),
        ({"Modality": "MR"}, "110852", "{unitless}"),
        ({"Modality": "MR", "RescaleType": "HU"}, "110852", "{unitless}"),
        ({"Modality": "PT", "Units": "BQML"}, "110821", "Bq/ml"),
        ({"Modality": "PT", "Units": "CNTS"}, "110821", "{counts}"),
        ({"Modality": "PT", "Units": "BQML", "SUVType": "BW"}, "110821", "Bq/ml"),
        ({"Modality": "PT", "Units": "GML"}, "126400", "g/ml{SUVbw}"),
        ({"Modality": "PT", "Units": "GML", "SUVType": "LBM"}, "126400", "g/ml{SUVlbm}"),
        ({"Modality": "PT", "Units": "CM2ML", "SUVType": "BSA"}, "126400", "cm2/ml{SUVbsa}"),
    ],
)
def test_the_unit_is_the_one_that_the_images_state(attributes: dict[str, str], code: str, unit: str) -> None:
    """HU only where CT says so or says nothing; SUV only where PET really is in SUV; MR has no unit."""
    found = quantity_of([_header(**attributes)] * 2)

    assert found is not None
    assert (found[0].value, found[1].value) == (code, unit)


@pytest.mark.parametrize(
    "attributes",
    [
        {"Modality": "CT", "RescaleType": "Z_EFF"},
        {"Modality": "CT", "RescaleType": "MGML"},
        {"Modality": "PT"},
        {"Modality": "PT", "Units": "GML", "SUVType": "OTHER"},
        {"Modality": "PT", "Units": "CM2ML"},
        {"Modality": "US"},
    ],
)
def test_an_unknown_unit_is_not_guessed(attributes: dict[str, str]) -> None:
    """An effective atomic number is no attenuation, and activity is no uptake value."""
    assert quantity_of([_header(**attributes)]) is None


def test_images_that_differ_have_no_common_unit() -> None:
    """A mean over two units means nothing."""
    assert quantity_of([_header(Modality="PT", Units="BQML"), _header(Modality="PT", Units="GML")]) is None
