"""Patient's Age, or where it is left out the years from the birth date to the study, decides on limits of age."""

import pytest
from pydicom import Dataset

from inference.imaging.patient_age import age_years

_YEAR, _DAY = 1.0, 1 / 366


@pytest.mark.parametrize(
    ("age", "born", "studied", "years"),
    [
        ("045Y", "20000101", "20260101", 45.0),
        ("006M", "", "", 0.5),
        ("", "20080310", "20260310", 18 * _YEAR),
        ("", "20080310", "20260309", 17 * _YEAR + 364 * _DAY),
        ("", "20080229", "20260228", 17 * _YEAR + 365 * _DAY),
        ("45", "20260101", "20260102", _DAY),
        ("", "", "20260310", None),
        ("", "20080310", "", None),
        ("", "20261310", "20260310", None),
        ("", "20260311", "20260310", None),
        ("", "19000101", "20260310", None),
    ],
)
def test_the_age_is_told_or_reckoned(age: str, born: str, studied: str, years: float | None) -> None:
    """A birthday makes a year full on its day; what is no date or no age of a person is unknown."""
    header = Dataset()
    header.PatientAge, header.StudyDate = age, studied
    header.PatientBirthDate = born

    assert age_years(header) == (None if years is None else pytest.approx(years))
