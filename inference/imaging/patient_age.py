"""How old a patient was when the study was made."""

from datetime import date

from pydicom import Dataset

_YEARS_PER_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_DAYS = 366.0  # of a year, at most: no birthday is reached before its day
_OLDEST = 120.0  # years; an earlier birth date, such as 1900-01-01, is a stand-in for none


def age_years(header: Dataset) -> float | None:
    """Patient's Age in years, else the time from Patient's Birth Date to Study Date; ``None`` where neither is told.

    Patient's Age is an Age String, three digits and D, W, M or Y, and dates are eight digits (PS3.5 section 6.2). A
    year since a birthday is full on the next one; part of a year counts in days.
    """
    text = str(header.get("PatientAge") or "").strip()
    if len(text) == 4 and text[:3].isascii() and text[:3].isdigit() and text[3] in _YEARS_PER_UNIT:
        return int(text[:3]) * _YEARS_PER_UNIT[text[3]]
    born, studied = _date(header, "PatientBirthDate"), _date(header, "StudyDate")
    if born is None or studied is None or studied < born:
        return None
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    age = years + _days_since_birthday(born, studied, years) / _DAYS
    return age if age <= _OLDEST else None


def _days_since_birthday(born: date, studied: date, years: int) -> int:
    day = min(born.day, 28) if born.month == 2 else born.day
    return (studied - date(born.year + years, born.month, day)).days


def _date(header: Dataset, keyword: str) -> date | None:
    text = str(header.get(keyword) or "").strip()
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:  # no day of the calendar
        return None
